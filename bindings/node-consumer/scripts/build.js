// Compiles consumer_node.c and libdtrace.c into build/consumer.node. Where that fails the install goes on, and
// build/reason.txt says why: `reason` of the package.
'use strict'
const { execFileSync } = require('child_process')
const fs = require('fs')
const path = require('path')

const here = path.join(__dirname, '..')
const build = path.join(here, 'build')
const target = path.join(build, 'consumer.node')
const half = path.join(build, `${process.pid}.node`) // another install may run, or load the old one

function compile () {
  const headers = path.join(path.dirname(require.resolve('node-api-headers/package.json')), 'include')
  const words = (value) => (value || '').split(' ').filter(Boolean)
  const [cc, ...flags] = words(process.env.CC || 'cc')
  // libdtrace's threads and handles outlive a worker: never unloaded.
  const link = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup']
    : ['-shared', '-Wl,-z,nodelete']
  const libraries = process.platform === 'linux' ? ['-pthread', '-ldl'] : ['-pthread']
  execFileSync(cc, [...flags, '-std=c11', '-O2', ...words(process.env.CFLAGS), '-fPIC', '-fvisibility=hidden', ...link,
    '-I', headers, '-o', half, path.join(here, 'consumer_node.c'), path.join(here, 'libdtrace.c'), ...libraries],
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
  console.log(`usdt-consumer: nothing can be traced: ${error.stderr || error.message}`)
}
