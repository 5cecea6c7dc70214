// The API of dtrace-provider 0.8, row by row, of probes that nobody traces.
'use strict'
const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const usdt = require('..')
const { root, unless } = require('./support')

const provider = (name = 'nodetest') => usdt.createDTraceProvider(name)
const values = () => [1]

test('the package is available here', () => {
  assert.strictEqual(usdt.available, true)
  assert.strictEqual(usdt.reason, undefined)
})

test('a provider has a name, and a module or not, both strings', () => {
  const type = (message) => ({ name: 'TypeError', message })
  assert.ok(usdt.createDTraceProvider('nodetest', 'module') instanceof usdt.DTraceProvider)
  assert.ok(usdt.createDTraceProvider('nodetest') instanceof usdt.DTraceProvider)
  for (const wrong of [undefined, 1, {}, null]) {
    assert.throws(() => usdt.createDTraceProvider(wrong), type('Must give provider name as argument'))
    assert.throws(() => usdt.createDTraceProvider('nodetest', wrong), type('Must give module name as argument'))
  }
  assert.throws(() => usdt.createDTraceProvider(), type('Must give provider name as argument'))
  assert.throws(() => new usdt.DTraceProvider('nodetest', 'module', 1),
    { message: 'Expected only provider name and module as arguments' })
})

test('addProbe returns the probe, and makes it a property of the provider', () => {
  const p = provider()
  const probe = p.addProbe('start', 'int', 'char *')
  assert.strictEqual(p.start, probe)
  assert.deepStrictEqual(Object.keys(p), ['start'])
  probe.dtp = p // bunyan does this
  assert.strictEqual(probe.dtp, p)
})

test('a name or type of any kind is taken as a string', () => {
  const p = provider()
  p.addProbe({ toString: () => 'object' }, 1, null)
  assert.strictEqual(p.object.reason, undefined)
})

test('a probe named as a method or as __proto__ does no harm', () => {
  const p = provider()
  const probe = p.addProbe('__proto__')
  assert.ok(p instanceof usdt.DTraceProvider)
  assert.strictEqual(p.fire('__proto__', values), true)
  assert.strictEqual(p.fire('toString', values), undefined)
  assert.strictEqual(p.removeProbe(probe), true)
  assert.strictEqual(p.addProbe('enable'), p.enable)
})

test('up to 32 arguments count', () => {
  for (const type of ['int', 'buffer']) {
    const p = provider()
    p.addProbe('many', ...Array(100).fill(type))
    p.enable()
    assert.strictEqual(p.reason, undefined)
  }
})

test('removeProbe is true, and takes the property away', () => {
  const p = provider()
  const probe = p.addProbe('start')
  assert.strictEqual(p.removeProbe(probe), true)
  assert.strictEqual(p.start, undefined)
  assert.strictEqual(p.fire('start', values), undefined)
  assert.strictEqual(probe.fire(values), undefined)
})

test('removeProbe throws if the provider does not have the probe', () => {
  const p = usdt.createDTraceProvider('nodetest', 'module')
  const probe = p.addProbe('start')
  const foreign = provider('nodeother').addProbe('start')
  assert.throws(() => p.removeProbe(foreign), { message: 'failed to remove probe nodetest:module:start:start' })
  assert.strictEqual(p.start, probe)
  p.removeProbe(probe)
  assert.throws(() => p.removeProbe(probe), { message: 'no probes defined' })
  for (const wrong of [undefined, {}, () => 1]) {
    assert.throws(() => p.removeProbe(wrong), { name: 'TypeError', message: 'Must give probe as argument' })
  }
})

test('enable and disable return undefined, as often as they are called', () => {
  const p = provider()
  p.addProbe('start')
  for (let round = 0; round < 3; round++) {
    for (const call of ['disable', 'disable', 'enable', 'enable']) assert.strictEqual(p[call](), undefined)
    assert.strictEqual(p.reason, undefined)
  }
})

test('enable throws if there are no probes', () => {
  assert.throws(() => provider().enable(), { message: 'no probes defined' })
})

test('provider.fire wants a name and a callback; it is true for each probe of the provider', () => {
  const p = provider()
  const type = (message) => ({ name: 'TypeError', message })
  p.addProbe('start')
  for (const state of ['new', 'enabled', 'disabled']) {
    if (state === 'enabled') p.enable()
    if (state === 'disabled') p.disable()
    assert.strictEqual(p.fire('start', values, 1, 2), true)
    assert.strictEqual(p.fire('unknown', values), undefined)
    assert.throws(() => p.fire(), type('Must give probe name as first argument'))
    assert.throws(() => p.fire(1, values), type('Must give probe name as first argument'))
    assert.throws(() => p.fire('start'), type('Must give probe value callback as second argument'))
    assert.throws(() => p.fire('unknown', []), type('Must give probe value callback as second argument'))
  }
  p.foreign = provider('nodeother').addProbe('foreign')
  assert.strictEqual(p.fire('foreign', values), undefined)
})

test('probe.fire and the probe as a function want a callback, which is not called without a tracer', () => {
  const p = provider()
  const probe = p.addProbe('start', 'int')
  const never = () => assert.fail('called')
  for (const state of ['new', 'enabled', 'disabled', 'removed']) {
    if (state === 'enabled') p.enable()
    if (state === 'disabled') p.disable()
    if (state === 'removed') p.removeProbe(probe)
    for (const fire of [(...args) => probe.fire(...args), (...args) => probe(...args)]) {
      assert.strictEqual(fire(never, 1, 2, 3), undefined)
      for (const wrong of [[], [1], [{}]]) {
        assert.throws(() => fire(...wrong),
          { name: 'TypeError', message: 'Must give probe value callback as first argument' })
      }
    }
  }
})

test('a probe that is added again with the same types is the one that is there, with others another', () => {
  const p = provider()
  const first = p.addProbe('start', 'int')
  p.enable()
  assert.strictEqual(p.addProbe('start', 'int'), first)
  const second = p.addProbe('start', 'int', 'int')
  assert.notStrictEqual(second, first)
  assert.strictEqual(p.start, second)
  assert.strictEqual(second.reason, undefined)
  assert.strictEqual(first.reason, 'removed')
})

test('a name that no tracer takes throws nothing; the reason says what is wrong', () => {
  const p = provider('app2')
  assert.match(p.reason, /provider name "app2": must not end in a digit/)
  const probe = p.addProbe('start')
  assert.strictEqual(probe.reason, p.reason)
  assert.strictEqual(p.enable(), undefined)
  assert.strictEqual(p.disable(), undefined)
  assert.strictEqual(p.fire('start', values), true)
  assert.strictEqual(p.removeProbe(probe), true)

  const q = provider()
  const spaced = q.addProbe('a b')
  assert.match(spaced.reason, /probe name|function name/)
  q.enable()
  q.addProbe('good')
  assert.strictEqual(q.good.reason, undefined)
  assert.strictEqual(q.fire('a b', values), true)
  assert.strictEqual(q.removeProbe(spaced), true)
  assert.throws(() => q.removeProbe(spaced), { message: 'no probe "a b"' })
})

test('enable that cannot publish throws nothing; the reason says why, and it may be tried again', () => {
  // No file can be written: what no directory takes goes into a memory file, and the limit is for that, too.
  const { stdout, stderr } = spawnSync('prlimit', ['--fsize=0:', process.execPath, '-e', `
    const p = require(${JSON.stringify(root)}).createDTraceProvider('nodefail')
    const probe = p.addProbe('start')
    const values = () => [1]
    console.log(p.enable(), p.fire('start', values), probe.fire(values), p.reason)
    console.log(probe.reason === p.reason)
    require('child_process').execFileSync('prlimit', ['--fsize=unlimited', '--pid', process.pid])
    const added = p.addProbe('more')
    console.log(p.reason, probe.reason, added.reason)`], { encoding: 'utf8' })
  assert.match(stdout, /^undefined true undefined .*File too large.*\ntrue\nundefined undefined undefined\n$/, stderr)
})

test('where the site cannot be read, the native side is asked', () => {
  const native = require('../build/usdt.node')
  let traced = false
  const fired = []
  const Provider = require('../provider')({
    ...native, site: () => null, enabled: () => traced, fire: (handle, ...values) => fired.push(values)
  })
  const p = new Provider('nodetest')
  const probe = p.addProbe('start', 'int', 'json')
  p.enable()
  assert.strictEqual(probe.fire(() => [1, {}]), undefined)
  traced = true
  assert.strictEqual(probe.fire(() => [1, {}]), true)
  assert.strictEqual(probe(() => [2, []]), true)
  assert.strictEqual(p.fire('start', () => [3]), true)
  assert.deepStrictEqual(fired, [[1, '{}'], [2, '[]'], [3, 'undefined']])
})

test('where there is no tracing every call is quiet', () => {
  const Provider = require('../quiet')('no tracing')
  const p = new Provider()
  const probe = p.addProbe('start', 'int')
  assert.strictEqual(p.start, probe)
  for (const result of [p.enable(), p.disable(), p.fire(), probe.fire(), probe()]) assert.strictEqual(result, undefined)
  assert.strictEqual(probe.listen(() => {})(), undefined)
  assert.strictEqual(p.removeProbe(probe), true)
  assert.strictEqual(p.reason, 'no tracing')
  assert.strictEqual(probe.reason, 'no tracing')
})

test('ECMAScript modules import it by name', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `
    import usdt, { DTraceProvider, createDTraceProvider, available, reason }
      from ${JSON.stringify(path.join(root, 'index.js'))}
    console.log(createDTraceProvider('nodetest') instanceof DTraceProvider, available, reason, usdt.available)`],
  { encoding: 'utf8' })
  assert.strictEqual(stdout, 'true true undefined true\n', stderr)
})

const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
unless(() => fs.existsSync(tsc) ? '' : 'typescript is not installed: npm ci', 'TypeScript knows the API', () => {
  const { stdout, status } = spawnSync(process.execPath, [tsc, '--noEmit', '--strict', '--target', 'es2022',
    '--module', 'nodenext', path.join(__dirname, 'types.ts')], { encoding: 'utf8' })
  assert.strictEqual(status, 0, stdout)
})
