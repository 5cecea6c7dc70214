// What npm pack makes installs anywhere; what the package says where there is no libdtrace; its types; its layouts.
'use strict'
const assert = require('node:assert')
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { fake, root, run, temporary } = require('./support')

const use = `const dtrace = require('usdt-consumer'), consumer = dtrace.createConsumer()
  console.log(dtrace.available, consumer.version())
  consumer.on('ready', () => consumer.stop(() => console.log('stopped')))
  consumer.on('error', ({ message }) => console.log(message, message === dtrace.reason))`

let tarball
function install (name, env = {}, ...flags) {
  const npm = (cwd, ...args) => spawnSync('npm', [...args, '--no-audit', '--no-fund'],
    { cwd, encoding: 'utf8', env: { ...process.env, ...env } })
  tarball ??= path.join(temporary, npm(root, 'pack', '--silent', '--pack-destination', temporary).stdout.trim().split('\n').pop())
  const dir = path.join(temporary, name)
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'package.json'),
    JSON.stringify({ private: true, allowScripts: { [`file:${tarball}`]: true } })) // npm 12 asks for that
  const made = npm(dir, 'install', tarball, '--offline', '--cache', path.join(temporary, 'empty-cache'), ...flags)
  assert.strictEqual(made.status, 0, made.stderr)
  return (library) => {
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', use],
      { cwd: dir, encoding: 'utf8', env: { ...process.env, USDT_LIBDTRACE: library } })
    return stdout + stderr
  }
}

test('it installs without network and without libdtrace, and says what is missing when it is used', () => {
  const used = install('offline')
  assert.match(used('/nonexistent/libdtrace.so'),
    /^false undefined\nlibdtrace cannot be loaded: \/nonexistent\/libdtrace.so: .* true\n$/)
  assert.strictEqual(used(fake()), 'true D fake\nstopped\n')
})

test('a library that is no libdtrace is refused', () => {
  assert.match(run('libc.so.6', 'print(dtrace.available, dtrace.reason)').stdout, /^false libc.so.6 has no _dtrace_version\n$/)
})

test('without a compiler, or with install scripts forbidden, it installs all the same, and says so', () => {
  assert.match(install('nocompiler', { CC: 'no-such-compiler' })(fake()), /^false undefined\nnot built: .*no-such-compiler.* true\n$/)
  assert.match(install('noscripts', {}, '--ignore-scripts')(fake()), /^false undefined\nnot built: .*: node ".*\/scripts\/build.js" true\n$/)
})

test('TypeScript knows the API', () => {
  const { stdout, status } = spawnSync(process.execPath, [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', path.join(__dirname, 'types.ts')], { encoding: 'utf8' })
  assert.strictEqual(status, 0, stdout)
})

test('ECMAScript modules import it by name', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `
    import dtrace, { Consumer, createConsumer, available, reason } from ${JSON.stringify(path.join(root, 'index.js'))}
    const consumer = createConsumer().on('ready', () => consumer.stop())
    console.log(consumer instanceof Consumer, available, reason, dtrace.available)`],
  { encoding: 'utf8', env: { ...process.env, USDT_LIBDTRACE: fake() } })
  assert.strictEqual(stdout, 'true true undefined true\n', stderr)
})

// libdtrace2-dev of Debian has it; USDT_DTRACE_INCLUDE is where it was unpacked.
test('the layouts are those of <dtrace.h>', (t) => {
  const include = process.env.USDT_DTRACE_INCLUDE || '/usr/include'
  if (!fs.existsSync(path.join(include, 'dtrace', 'metadesc.h'))) return t.skip('the header of DTrace 2 is not installed')
  execFileSync('cc', ['-std=gnu11', '-fsyntax-only', '-I', root, '-I', path.join(__dirname, 'include'), '-I', include,
    path.join(__dirname, 'layouts.c')])
})

test('what the package does, under AddressSanitizer', (t) => {
  const library = spawnSync('cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
  if (!path.isAbsolute(library)) return t.skip('the compiler has no AddressSanitizer')
  const copy = path.join(temporary, 'sanitized')
  fs.cpSync(root, copy, { recursive: true, filter: (from) => !/node_modules\/(typescript|@types|undici-types)$/.test(from) })
  const env = { ...process.env, CFLAGS: '-g -fsanitize=address -fno-omit-frame-pointer' }
  delete env.NODE_TEST_CONTEXT
  execFileSync(process.execPath, [path.join(copy, 'scripts', 'build.js')], { env })
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--test', path.join(copy, 'test', 'linux.test.js')],
    { encoding: 'utf8', env: { ...env, LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0:quarantine_size_mb=1' } })
  assert.strictEqual(status, 0, stdout + stderr)
  t.diagnostic(/pass \d+/.exec(stdout)[0])
})
