// Compiles the library and usdt_node.c into build/usdt.node. Where that fails the install goes on, and
// build/reason.txt says why: `reason` of the package.
'use strict'
const { execFileSync } = require('child_process')
const fs = require('fs')
const path = require('path')

const here = path.join(__dirname, '..')
const build = path.join(here, 'build')
const target = path.join(build, 'usdt.node')
const half = path.join(build, `${process.pid}.node`) // another install may run, or load the old one

const stubs = { x64: 'x86_64', ia32: 'i386', arm64: 'arm64' }
const macos = process.platform === 'darwin'

function sources () {
  const packed = path.join(here, 'libusdt')
  const dir = fs.existsSync(packed) ? packed : path.join(here, '..', '..')
  const names = fs.readdirSync(dir).filter((name) => /^usdt(_\w+)?\.c$/.test(name))
  const arch = stubs[process.arch]
  if (arch) names.push(`usdt_tracepoints_${macos ? 'macos_' : ''}${arch}.s`)
  return { dir, files: names.map((name) => path.join(dir, name)) }
}

function compile () {
  const { dir, files } = sources()
  const headers = path.join(path.dirname(require.resolve('node-api-headers/package.json')), 'include')
  const words = (value) => (value || '').split(' ').filter(Boolean)
  const [cc, ...flags] = words(process.env.CC || 'cc')
  // A worker's end must not take away code that another thread may be in: never unloaded.
  const link = macos ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,-z,nodelete']
  execFileSync(cc, [...flags, '-std=c11', '-O2', ...words(process.env.CFLAGS), '-fPIC', '-fvisibility=hidden', ...link,
    '-I', dir, '-I', headers, '-o', half, path.join(here, 'usdt_node.c'), ...files, '-pthread'],
  { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
}

try {
  fs.mkdirSync(build, { recursive: true })
  try {
    compile()
    fs.renameSync(half, target)
    fs.rmSync(path.join(build, 'reason.txt'), { force: true })
  } catch (error) {
    fs.rmSync(half, { force: true })
    fs.rmSync(target, { force: true })
    fs.writeFileSync(path.join(build, 'reason.txt'), `not built: ${error.stderr || error.message}`.trim())
    throw error
  }
} catch (error) {
  console.log(`usdt: there will be no probes: ${error.stderr || error.message}`)
}
