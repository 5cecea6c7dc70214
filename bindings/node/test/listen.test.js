// Listeners: a program hears the hits of its own probes, without root and without a tracer.
'use strict'
const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const test = require('node:test')
const usdt = require('..')
const { bpftrace, prelude, program, run, tracing } = require('./support')

// A probe, and the hits that were heard.
function listened (...types) {
  const provider = usdt.createDTraceProvider('listen')
  const probe = provider.addProbe('hit', ...types)
  const hits = []
  const stop = probe.listen((...values) => hits.push(values))
  return { provider, probe, hits, stop }
}

test('a listener hears each hit, until it is stopped', () => {
  const { provider, probe, hits, stop } = listened('int', 'char *')
  provider.enable()
  assert.strictEqual(probe.fire((n) => [n, '/cart'], 7), true)
  assert.strictEqual(probe(() => [8]), true)
  assert.strictEqual(provider.fire('hit', () => [9, 'by name']), true)
  stop()
  stop()
  assert.strictEqual(probe.fire(() => assert.fail('the values are made')), undefined)
  assert.deepStrictEqual(hits, [[7, '/cart'], [8, 'undefined'], [9, 'by name']])
})

test('what it is given is what a tracer gets', () => {
  const types = ['int', 'int8', 'uint8', 'int64', 'uint64', 'uint64', 'double', 'json', 'buffer', 'int16']
  const { probe, hits } = listened(...types)
  probe.fire(() => [-1, 200, 200, 2n ** 62n, 2n ** 64n - 1n, 5, 0.5, { a: ['ü'] }, Buffer.from('bytes'), 2 ** 15])
  assert.deepStrictEqual(hits,
    [[-1, -56, 200, 2n ** 62n, 2n ** 64n - 1n, 5, 0.5, '{"a":["ü"]}', Buffer.from('bytes'), -32768]])
  for (const exact of [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 0]) {
    const { probe, hits } = listened('int64')
    probe.fire(() => [exact])
    assert.deepStrictEqual(hits, [[exact]])
  }
  const last = listened('int64', 'uint64', 'buffer')
  last.probe.fire(() => [Number.MAX_SAFE_INTEGER + 1, 2 ** 53, 'none'])
  assert.deepStrictEqual(last.hits, [[2n ** 53n, 2n ** 53n, Buffer.alloc(0)]])
})

test('it hears a probe of a provider that is not enabled, and when that changes', () => {
  const { provider, probe, hits, stop } = listened('int')
  const fire = (n) => probe.fire(() => [n])
  fire(1)
  provider.enable()
  fire(2)
  provider.disable()
  fire(3)
  provider.enable()
  stop()
  assert.strictEqual(fire(4), undefined)
  provider.disable()
  const again = probe.listen((n) => hits.push([n]))
  fire(5)
  again()
  assert.strictEqual(fire(6), undefined)
  assert.deepStrictEqual(hits, [[1], [2], [3], [5]])
})

test('a probe that is removed is not heard, and one of its name is another', () => {
  const { provider, probe, hits, stop } = listened('int')
  provider.enable()
  provider.removeProbe(probe)
  assert.strictEqual(probe.fire(() => [1]), undefined)
  stop()
  assert.strictEqual(probe.fire(() => [1]), undefined)
  assert.strictEqual(provider.addProbe('hit', 'int').fire(() => [2]), undefined)
  assert.deepStrictEqual(hits, [])
})

test('several listen, in their order; each may stop any', () => {
  const { probe, hits, stop } = listened('int')
  const order = []
  const first = probe.listen(() => { order.push('first'); first() })
  const second = probe.listen(function () { order.push(this === probe) })
  probe.fire(() => [1])
  probe.fire(() => [2])
  stop()
  probe.fire(() => [3])
  second()
  assert.strictEqual(probe.fire(() => [4]), undefined)
  assert.deepStrictEqual(order, ['first', true, true, true])
  assert.deepStrictEqual(hits, [[1], [2]])
})

test('a listener that fires the probe hears that, too', () => {
  const { probe } = listened('int')
  const heard = []
  probe.listen((n) => { heard.push(n); if (n < 3) probe.fire(() => [n + 1]) })
  probe.fire(() => [1])
  assert.deepStrictEqual(heard, [1, 2, 3])
})

test('what a listener throws does not reach who fires: it is an uncaught exception', () => {
  const output = run(`
    process.on('uncaughtException', (error) => print('uncaught', error.message))
    const probe = usdt.createDTraceProvider('listen').addProbe('hit', 'int')
    probe.listen(() => { throw new Error('of a listener') })
    probe.listen((n) => print('heard', n))
    print('fired', probe.fire(() => [1]))`)
  assert.strictEqual(output, 'heard 1\nfired true\nuncaught of a listener\n')
})

test('a listener is a function', () => {
  const { probe } = listened()
  for (const wrong of [undefined, 1, {}]) {
    assert.throws(() => probe.listen(wrong), { name: 'TypeError', message: 'Must give listener as first argument' })
  }
})

test('a probe that cannot be had is not heard, and nothing is thrown', () => {
  const probe = usdt.createDTraceProvider('listen').addProbe('a:b')
  assert.match(probe.reason, /a:b/)
  probe.listen(() => assert.fail('heard'))()
  assert.strictEqual(probe.fire(() => []), undefined)
})

test('probes that are listened to may be collected, in each thread', () => {
  const output = run(`
    const { Worker, isMainThread } = require('worker_threads')
    const code = \`for (let i = 0; i < 200; i++) {
      const provider = usdt.createDTraceProvider('listen')
      let heard = 0
      provider.addProbe('hit', 'int').listen((n) => { heard += n })
      if (i % 2) provider.enable()
      provider.fire('hit', () => [1])
      if (heard !== 1) throw new Error('not heard')
      if (i % 20 === 0) gc()
    }\`
    eval(code)
    new Worker(${JSON.stringify(prelude)} + code, { eval: true })
      .on('exit', (code) => print('ended', code))`, '--expose-gc')
  assert.strictEqual(output, 'ended 0\n')
})

test('it needs no privileges', (t) => {
  if (process.getuid() !== 0) return t.skip('nobody else here has any')
  const code = `${prelude} process.setgid(65534); process.setuid(65534)
    const probe = usdt.createDTraceProvider('listen').addProbe('hit', 'int')
    probe.listen((n) => print('heard', n))
    probe.fire(() => [7])`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' })
  assert.strictEqual(stdout, 'heard 7\n', stderr)
})

tracing('a tracer and a listener both hear every hit', async (t) => {
  const child = program(t, `
    const provider = usdt.createDTraceProvider('listen')
    const probe = provider.addProbe('hit', 'int', 'char *')
    provider.enable()
    let n = 0
    print('ready')
    setInterval(() => {
      const stop = n % 4 === 0 ? probe.listen((i, text) => print('heard', i, text)) : () => {}
      probe.fire(() => [++n, 'x' + n])
      stop()
    }, 10)`)
  await child.prints('^ready$')
  const tracer = await bpftrace(t, 'usdt:*:listen:hit { printf("seen %d %s\\n", arg0, str(arg1)); }', child.pid)
  await tracer.prints('^seen', 20)
  await child.prints('^heard', 3)
  await tracer.stop()
  const numbers = [...tracer.output.matchAll(/^seen (\d+) x\1$/gm)].map(([, n]) => +n)
  assert.deepStrictEqual(numbers, numbers.map((_, i) => numbers[0] + i))
  for (const [, n, text] of child.output.matchAll(/^heard (\d+) (.*)$/gm)) {
    assert.strictEqual(text, 'x' + n)
    assert.strictEqual(n % 4, 1)
  }
})
