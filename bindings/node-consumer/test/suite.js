// What the package does, on the interface of DTrace 2 for Linux or, classic, of illumos, FreeBSD and macOS.
'use strict'
const assert = require('node:assert')
const { once } = require('node:events')
const fs = require('node:fs')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { integer, key, load, probe, record, root, run, string, text, words } = require('./support')

// The numbers of the aggregating actions.
const numbers = {
  linux: { avg: 0, count: 1, llquantize: 2, lquantize: 3, max: 4, min: 5, quantize: 6, stddev: 7, sum: 8 },
  classic: { count: 1, min: 2, max: 3, avg: 4, sum: 5, stddev: 6, quantize: 7, lquantize: 8, llquantize: 9 }
}
const afterError = 'after an error this libdtrace takes nothing more: stop this consumer, open another'
const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

module.exports = (family) => {
  const classic = family === 'classic'
  const dtrace = load(classic)
  const library = process.env.USDT_LIBDTRACE

  async function opened (program) {
    const consumer = dtrace.createConsumer()
    await once(consumer, 'ready')
    if (program !== undefined) {
      await consumer.strcompile(program)
      await consumer.go()
    }
    return consumer
  }

  async function traced (program) {
    const consumer = await opened(program)
    const values = (await consumer.consume()).map(({ data }) => data)
    await consumer.stop()
    return values
  }

  async function aggregated (...lines) {
    const consumer = await opened(lines.join(''))
    const found = await consumer.aggwalk()
    await consumer.stop()
    return found
  }

  const value = (name, parameters, ...counts) =>
    `value ${(0x700 + numbers[family][name]).toString(16)} ${parameters} ${words(...counts)}\n`
  const aggregate = async (name, parameters, counts, normal = 1) =>
    (await aggregated(`aggregation 1 ${normal}\n`, value(name, parameters, ...counts)))[0].value

  // ---- the manual ----

  test('"hello, world" of the manual', async () => {
    const vasync = require('vasync')
    const out = []
    let consumer
    await new Promise((resolve, reject) => vasync.pipeline({
      funcs: [
        function setup (_, callback) {
          consumer = dtrace.createConsumer()
          out.push(consumer.version())
          consumer.on('ready', callback)
        },
        function compile (_, callback) {
          consumer.strcompile(probe('BEGIN') + string('hello, world'), callback)
        },
        function enable (_, callback) { consumer.go(callback) },
        function consume (_, callback) {
          consumer.consume((probe, value) => out.push(value ? value.data : `end of ${probe.name}`))
          consumer.stop(callback)
        }
      ]
    }, (error) => error ? reject(error) : resolve()))
    assert.deepStrictEqual(out, ['D fake', 'hello, world', 'end of BEGIN'])
  })

  test('a record comes with its probe, and undefined after the last of a firing', async () => {
    const consumer = await opened(probe('one') + integer(1, 4) + integer(2, 4) + probe('two') + probe('three') + integer(3, 4))
    const seen = []
    consumer.consume((probe, rec) => seen.push([probe.name, rec]))
    assert.deepStrictEqual(seen, [['one', { data: 1 }], ['one', { data: 2 }], ['one', undefined], ['two', undefined],
      ['three', { data: 3 }], ['three', undefined]])
    consumer.consume(() => assert.fail('nothing is handed out twice'))
    await consumer.stop()
  })

  test('a probe has provider, module, function (also as func) and name', async () => {
    const consumer = await opened(probe('name') + integer(1, 4))
    const [{ probe: found }] = await consumer.consume()
    assert.deepStrictEqual(found, { provider: 'prov', module: 'mod', function: 'fun', func: 'fun', name: 'name' })
    await consumer.stop()
  })

  // ---- what is allowed when ----

  test('before ready every call but version() fails', async () => {
    const consumer = dtrace.createConsumer()
    const notReady = { message: 'consumer is not ready' }
    assert.strictEqual(consumer.version(), 'D fake')
    for (const call of [() => consumer.setopt('quiet'), () => consumer.consume(() => {}), () => consumer.aggwalk(() => {}),
      () => consumer.strcompile('x', () => {}), () => consumer.go(() => {}), () => consumer.stop(() => {})]) {
      assert.throws(call, notReady)
    }
    for (const call of ['strcompile', 'go', 'stop', 'consume', 'aggwalk']) {
      await assert.rejects(consumer[call](call === 'strcompile' ? 'x' : undefined), notReady)
    }
    await once(consumer, 'ready')
    await consumer.stop()
  })

  test('while a call runs the consumer is busy', async () => {
    const consumer = await opened()
    const busy = { message: 'consumer is busy' }
    const compiled = consumer.strcompile('sleep 100')
    assert.throws(() => consumer.stop(() => {}), busy)
    assert.throws(() => consumer.strcompile('x', () => {}), busy)
    assert.throws(() => consumer.setopt('quiet'), busy)
    await assert.rejects(consumer.go(), busy)
    await compiled
    const going = consumer.go()
    assert.throws(() => consumer.consume(() => {}), busy)
    await going
    const stopped = consumer.stop()
    assert.throws(() => consumer.aggwalk(() => {}), busy)
    await stopped
  })

  test('after stop() every call fails, whatever was done before', async () => {
    const stopped = { message: 'consumer is stopped' }
    for (const prepare of [async () => {}, (consumer) => consumer.strcompile('x'),
      async (consumer) => { await consumer.strcompile('x'); await consumer.go() }]) {
      const consumer = await opened()
      await prepare(consumer)
      await consumer.stop()
      assert.throws(() => consumer.setopt('quiet'), stopped)
      assert.throws(() => consumer.consume(() => {}), stopped)
      assert.throws(() => consumer.stop(() => {}), stopped)
      await assert.rejects(consumer.strcompile('x'), stopped)
      assert.strictEqual(consumer.version(), 'D fake')
    }
  })

  test('compile, go, consume: in this order, go once', async () => {
    const consumer = await opened()
    assert.throws(() => consumer.go(() => {}), { message: 'consumer has no program: strcompile() comes first' })
    await consumer.strcompile('x')
    assert.throws(() => consumer.consume(() => {}), { message: 'consumer is not enabled: go() comes first' })
    await consumer.go()
    assert.throws(() => consumer.go(() => {}), { message: 'consumer is enabled already' })
    assert.throws(() => consumer.strcompile('x', () => {}), { message: 'consumer is enabled already' })
    await consumer.stop()
  })

  test('wrong arguments are a TypeError', async () => {
    const consumer = await opened('x')
    for (const wrong of [1, 'f', {}, null]) {
      for (const call of ['consume', 'aggwalk', 'stop']) assert.throws(() => consumer[call](wrong), TypeError)
    }
    assert.throws(() => consumer.strcompile(), TypeError)
    await consumer.stop()
  })

  // ---- errors ----

  test('a consumer that cannot be opened emits error, with the message of the manual', async () => {
    const { stdout, stderr } = run(library, `const consumer = dtrace.createConsumer()
      consumer.on('ready', () => print('ready'))
      consumer.on('error', ({ message }) => { print(message); try { consumer.go(() => {}) } catch ({ message }) { print(message) } })`,
    { env: { FAKE_OPEN_ERROR: '1' } })
    assert.strictEqual(stdout, 'DTrace requires additional privileges\n' +
      'consumer is not ready: it could not be opened\n', stderr)
  })

  test('a program that does not compile, or cannot be enabled, is an error; stop() works', async () => {
    const consumer = await opened()
    await assert.rejects(consumer.strcompile('error line 1: syntax'), { message: "couldn't compile: line 1: syntax" })
    await assert.rejects(consumer.go(), { message: /no program/ })
    await consumer.stop()
    const other = await opened()
    await other.strcompile('goerror no')
    for (const why of ['no', classic ? 'no' : afterError]) {
      const [error] = await new Promise((resolve) => other.go((...args) => resolve(args)))
      assert.strictEqual(error.message, `couldn't enable: ${why}`)
    }
    await other.stop()
  })

  test('several programs are enabled together', async () => {
    const consumer = await opened()
    for (let i = 1; i <= 5; i++) await consumer.strcompile(probe('p') + integer(i, 4))
    await consumer.go()
    assert.deepStrictEqual((await consumer.consume()).map(({ data }) => data), [1, 2, 3, 4, 5])
    await consumer.stop()
  })

  test('after a wrong program DTrace 2 takes nothing more, every other another', async () => {
    const consumer = await opened()
    await consumer.strcompile(probe('p') + integer(1, 4))
    await assert.rejects(consumer.strcompile('error no'), { message: "couldn't compile: no" })
    if (classic) {
      await consumer.strcompile(integer(2, 4))
      await consumer.go()
      assert.deepStrictEqual((await consumer.consume()).map(({ data }) => data), [1, 2])
    } else {
      await assert.rejects(consumer.strcompile('x'), { message: `couldn't compile: ${afterError}` })
      await assert.rejects(consumer.go(), { message: `couldn't enable: ${afterError}` })
    }
    await consumer.stop()
  })

  test('several consumers may be open; DTrace 2 enables one, and the next when all are stopped', async () => {
    const consumers = []
    for (let i = 0; i < 3; i++) consumers.push(await opened())
    for (const consumer of consumers) await consumer.strcompile(probe('p') + integer(1, 4))
    await consumers[0].go()
    for (const consumer of consumers.slice(1)) {
      if (classic) await consumer.go()
      else await assert.rejects(consumer.go(), { message: /one consumer at a time: all others must be stopped before$/ })
    }
    assert.deepStrictEqual((await consumers[0].consume()).map(({ data }) => data), [1])
    for (const consumer of consumers) await consumer.stop()
    assert.deepStrictEqual(await traced(probe('p') + integer(2, 4)), [2])
  })

  test('what fails while records are read is thrown, or in the promise', async () => {
    const consumer = await opened('workerror no data\nsnaperror no snapshot\nstoperror it runs')
    assert.throws(() => consumer.consume(() => {}), { message: 'no data' })
    await assert.rejects(consumer.consume(), { message: 'no data' })
    assert.throws(() => consumer.aggwalk(() => {}), { message: 'no snapshot' })
    await assert.rejects((async () => { for await (const record of consumer) assert.fail(record) })(), { message: 'no data' })
    await assert.rejects(consumer.stop(), { message: "couldn't disable: it runs" })
    await assert.rejects(consumer.stop(), { message: 'consumer is stopped' })
  })

  test('what a callback throws goes through; the records that it has not seen come next time', async () => {
    const consumer = await opened(probe('p') + integer(1, 4) + integer(2, 4) + integer(3, 4))
    assert.throws(() => consumer.consume((probe, rec) => { throw new Error(`at ${rec.data}`) }), { message: 'at 1' })
    const rest = []
    consumer.consume((probe, rec) => rest.push(rec?.data))
    assert.deepStrictEqual(rest, [2, 3, undefined])
    await consumer.stop()
  })

  test('what a listener or a callback throws is an uncaught exception, not a rejection', () => {
    for (const code of ["dtrace.createConsumer().on('ready', () => { throw new Error('mine') })",
      "opened().then((c) => c.stop(() => { throw new Error('mine') }))"]) {
      const { stdout } = run(library, `process.on('uncaughtException', (e, origin) => print(e.message, origin)); ${code}`)
      assert.strictEqual(stdout, 'mine uncaughtException\n')
    }
  })

  test('drops and faults are events, and the records beside them are not lost', async () => {
    const consumer = await opened(probe('p') + integer(1, 4) + 'drop 1 5 12 lost some\n' + 'fault 4 4096 divide-by-zero\n' + integer(2, 4))
    const drops = []
    const faults = []
    consumer.on('drop', (drop) => drops.push(drop)).on('fault', (fault) => faults.push(fault))
    assert.deepStrictEqual((await consumer.consume()).map(({ data }) => data), [1, 2])
    assert.deepStrictEqual(drops, [{ kind: 'aggregation', cpu: 1, drops: 5, total: 12, message: 'lost some' }])
    assert.strictEqual(faults.length, 1)
    assert.ok(faults[0] instanceof Error)
    assert.deepStrictEqual({ message: faults[0].message, ...faults[0] }, { message: 'divide-by-zero', fault: 4, cpu: 2,
      address: 4096, probe: { provider: 'prov', module: 'mod', function: 'fun', func: 'fun', name: 'p' } })
    await consumer.stop()
  })

  test('setopt passes numbers, booleans and strings; an option refused is an error', async () => {
    const consumer = await opened()
    for (const [given, passed] of [[[7], '7'], [['7k'], '7k'], [[true], 'true'], [[false], 'false'], [[], 'no value']]) {
      assert.throws(() => consumer.setopt('shown', ...given), { message: `couldn't set option: ${passed}` })
    }
    assert.strictEqual(consumer.setopt('bufsize', '4m'), undefined)
    assert.throws(() => consumer.setopt('nonsense', 1), { message: "couldn't set option: Invalid option name" })
    await consumer.stop()
  })

  // ---- records ----

  test('integers of all sizes are exact: a number if it is safe, else a BigInt', async () => {
    const cases = [[-1, 1], [127, 1], [-2, 2], [-3, 4], [2 ** 31 - 1, 4], [-4, 8], [Number.MAX_SAFE_INTEGER, 8],
      [2n ** 53n, 8], [MAX, 8], [MIN, 8], [-(2n ** 53n), 8], [Number.MIN_SAFE_INTEGER, 8]]
    assert.deepStrictEqual(await traced(probe('p') + cases.map(([n, size]) => integer(n, size)).join('')),
      cases.map(([n]) => n))
  })

  test('unsigned integers are, where libdtrace tells them apart', async () => {
    const cases = [[255, 1], [65534, 2], [2 ** 32 - 3, 4], [2n ** 64n - 1n, 8], [5, 8]]
    assert.deepStrictEqual(await traced(probe('p') + cases.map(([n, size]) => integer(n, size, false)).join('')),
      classic ? [-1, -2, -3, -1, 5] : cases.map(([n]) => n))
  })

  test('strings end at their NUL, or where there is no more', async () => {
    const sizes = [3, 5, 7, 9, 256]
    assert.deepStrictEqual(await traced(probe('p') + sizes.map((size) => string('déjà vu'.slice(0, size - 2), size)).join('')),
      sizes.map((size) => Buffer.from('déjà vu'.slice(0, size - 2)).subarray(0, size).toString()))
    if (!classic) assert.deepStrictEqual(await traced(probe('p') + string('abcd', 8)), ['abcd'])
  })

  test('what libdtrace prints of a record is its value: printf() and the like', async () => {
    assert.deepStrictEqual(await traced(probe('p') + 'print a%20b%0a\n' + integer(1, 4) + 'print c\n' + 'print d\n' +
      record('print', 8, 0, '') + probe('q') + 'print e\n'), ['a b\n', 1, 'c', 'd', '<8>', 'e'])
  })

  test('exit() records its status; nothing comes after it', async () => {
    const consumer = await opened(probe('p') + record('exit', 4, 0, '03000000') + 'done\n')
    const seen = []
    for await (const { data } of consumer) seen.push(data)
    assert.deepStrictEqual(seen, [3])
    await consumer.stop()
  })

  test('tracemem() is a Buffer, of as many bytes as were asked for', async () => {
    const size = classic ? 'record 7 4 0 02000000\n' : record('tracemem', 4, 3, '02000000')
    assert.deepStrictEqual(await traced(probe('p') + record('tracemem', 4, classic ? 0 : 1, '01020304') +
      record('tracemem', 4, classic ? 0 : 2, '05060708') + size + integer(9, 4)),
    [Buffer.from([1, 2, 3, 4]), Buffer.from([5, 6]), 9])
  })

  const stack = (...pcs) => classic ? words(...pcs) : words(pcs.length, 0, ...pcs)
  const ustack = (pid, ...pcs) => classic ? words(pid, ...pcs) : words(pcs.length, (BigInt(pid) << 32n) | 1n, ...pcs)
  test('stack() and ustack() are arrays of frames', async () => {
    assert.deepStrictEqual(await traced(probe('p') + record('stack', classic ? 24 : 40, 3, stack(16, 17, 0)) +
      record('ustack', classic ? 32 : 40, 3, ustack(77, 18, 19, 20)) + record('stack', classic ? 16 : 32, 2, stack(0, 0))),
    [['kernel`f10+0x4', 'kernel`f11+0x4'], ['app77`g12+0x8', 'app77`g13+0x8', 'app77`g14+0x8'], []])
  })

  test('symbols, modules and addresses are strings', async () => {
    const user = words(77, 18)
    assert.deepStrictEqual(await traced(probe('p') + record('sym', 8, 0, words(16)) + record('mod', 8, 0, words(16)) +
      record('usym', 16, 0, user) + record('umod', 16, 0, user) + record('uaddr', 16, 0, user)),
    ['kernel`f10', 'kernel', 'app77`g12', 'app77', 'app77`g12+0x8'])
  })

  // ---- aggregations ----

  test('count, sum, min and max are integers, exact', async () => {
    for (const name of ['count', 'sum', 'min', 'max']) {
      for (const n of [0, 7, -7, MAX, MIN]) assert.strictEqual(await aggregate(name, 0, [n]), n)
    }
  })

  test('avg and stddev are numbers', async () => {
    assert.strictEqual(await aggregate('avg', 0, [2, 7]), 3.5)
    assert.strictEqual(await aggregate('avg', 0, [2, -7]), -3.5)
    assert.strictEqual(await aggregate('avg', 0, [0, 0]), 0)
    assert.strictEqual(await aggregate('stddev', 0, [2, 6, 26, 0]), 2) // of 1 and 5
    assert.strictEqual(await aggregate('stddev', 0, [2, 0, 0, 2]), 2 ** 32) // of 2^32 and -2^32: squares of 128 bits
    assert.strictEqual(await aggregate('stddev', 0, [0, 0, 0, 0]), 0)
  })

  test('quantize: powers of two, negative ones too, and the empty buckets between', async () => {
    const counts = (used) => Array.from({ length: 127 }, (_, i) => used[i] ?? 0)
    assert.deepStrictEqual(await aggregate('quantize', 0, counts({ 59: 1, 62: 2, 65: 3 })),
      [[[-15, -8], 1], [[-7, -4], 0], [[-3, -2], 0], [[-1, -1], 2], [[0, 0], 0], [[1, 1], 0], [[2, 3], 3]])
    assert.deepStrictEqual(await aggregate('quantize', 0, counts({ 126: 1 })), [[[2n ** 62n, MAX], 1]])
    assert.deepStrictEqual(await aggregate('quantize', 0, counts({ 0: 1 })), [[[MIN, -(2n ** 62n)], 1]])
    assert.deepStrictEqual(await aggregate('quantize', 0, counts({})), [])
  })

  test('lquantize: steps, and what is below and above', async () => {
    const parameters = (step, levels, base) => BigInt.asUintN(64, (BigInt(step) << 48n) | (BigInt(levels) << 32n) | BigInt.asUintN(32, BigInt(base)))
    assert.deepStrictEqual(await aggregate('lquantize', parameters(10, 3, -10), [1, 2, 0, 3, 4]),
      [[[MIN, -11], 1], [[-10, -1], 2], [[0, 9], 0], [[10, 19], 3], [[20, MAX], 4]])
    assert.deepStrictEqual(await aggregate('lquantize', parameters(10, 3, -10), [0, 0, 5, 0, 0]), [[[0, 9], 5]])
  })

  test('llquantize: steps of each magnitude, and what is below and above', async () => {
    const parameters = (factor, low, high, steps) => {
      const [a, b, c, d] = (classic ? [factor, low, high, steps] : [steps, high, low, factor]).map(BigInt)
      return (a << 48n) | (b << 32n) | (c << 16n) | d
    }
    if (classic) {
      // below 10; 10 to 99 and 100 to 999 by 20 steps of a tenth of the next magnitude; above
      const counts = Array(38).fill(0)
      Object.assign(counts, { 0: 1, 2: 2, 18: 3, 20: 4, 37: 5 })
      const found = await aggregate('llquantize', parameters(10, 1, 2, 20), counts)
      assert.deepStrictEqual(found.filter(([, count]) => count),
        [[[MIN, 9], 1], [[15, 19], 2], [[95, 99], 3], [[150, 199], 4], [[1000, MAX], 5]])
      return
    }
    // Seen with DTrace 2.0.7: llquantize(n, 10, 0, 3, 20) of -15, 0, 15 and 123456.
    const counts = Array(147).fill(0)
    Object.assign(counts, { 53: 1, 73: 1, 93: 1, 146: 1 })
    const found = await aggregate('llquantize', parameters(10, 0, 3, 20), counts)
    assert.deepStrictEqual(found.filter(([, count]) => count),
      [[[-19, -15], 1], [[0, 0], 1], [[15, 19], 1], [[10000, MAX], 1]])
    for (let i = 1; i < found.length; i++) assert.strictEqual(found[i][0][0], found[i - 1][0][1] + 1, 'no gap')
  })

  test('normalize() divides', async () => {
    assert.strictEqual(await aggregate('sum', 0, [100], 7), 14)
    assert.strictEqual(await aggregate('avg', 0, [2, 100], 5), 10)
    assert.deepStrictEqual(await aggregate('lquantize', (1n << 48n) | (1n << 32n), [0, 9, 0], 3), [[[0, 0], 3]])
  })

  test('keys are an array of what records can be; an aggregation is handed out once', async () => {
    const consumer = await opened('aggregation 3 1\n' + key('expression', 16, 0, text('key')) +
      key('expression', 4, 0, 'feffffff') + key('ustack', classic ? 24 : 32, 2, ustack(5, 18, 0)) +
      key('sym', 8, 0, words(16)) + value('count', 0, 2) + 'aggregation 4 1\n' + value('sum', 0, -1))
    const seen = []
    consumer.aggwalk((...args) => seen.push(args))
    assert.deepStrictEqual(seen, [[3, ['key', -2, ['app5`g12+0x8'], 'kernel`f10'], 2], [4, [], -1]])
    consumer.aggwalk(() => assert.fail('walked twice'))
    assert.deepStrictEqual(await consumer.aggwalk(), [])
    await consumer.stop()
  })

  // ---- iterators ----

  test('an iterator has what stop() brings, and ends with it', async () => {
    const consumer = await opened(probe('p') + integer(1, 4) + 'END ' + probe('END') + 'END ' + integer(2, 4))
    const seen = []
    let stopping
    for await (const { probe, data } of consumer) {
      seen.push([probe.name, data])
      stopping ??= sleep(10).then(() => consumer.stop())
    }
    await stopping
    assert.deepStrictEqual(seen, [['p', 1], ['END', 2]])
  })

  test('leaving an iterator leaves the consumer as it is', async () => {
    const consumer = await opened(probe('p') + integer(1, 4) + integer(2, 4))
    for await (const { data } of consumer) {
      assert.strictEqual(data, 1)
      break
    }
    assert.deepStrictEqual(await consumer.consume(), [])
    await consumer.stop()
  })

  test('switchrate is obeyed: no new data before its time', { skip: classic && 'their libraries do it' }, async () => {
    const consumer = await opened()
    consumer.setopt('switchrate', '1000ms')
    await consumer.strcompile('count')
    await consumer.go()
    const read = async () => (await consumer.consume()).map(({ data }) => data)
    assert.deepStrictEqual([await read(), await read(), await read()], [[1], [], []])
    await sleep(1010)
    assert.deepStrictEqual([await read(), await read()], [[2], []])
    await consumer.stop()
  })

  // ---- liveness ----

  // How long the worst gap is the machine's load decides; a loop that is blocked ticks not once.
  test('a timer of 10 ms keeps ticking while programs compile and are enabled', async (t) => {
    const gaps = []
    const consumers = await Promise.all(Array.from({ length: classic ? 3 : 1 }, () => opened()))
    let before = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      gaps.push(now - before)
      before = now
    }, 10)
    for (const call of [(consumer) => consumer.strcompile('sleep 500\ngosleep 500'), (consumer) => consumer.go()]) {
      const ticks = gaps.length
      await Promise.all(consumers.map(call))
      assert.ok(gaps.length - ticks >= 10, `${gaps.length - ticks} ticks`)
    }
    clearInterval(timer)
    t.diagnostic(`worst gap ${Math.max(...gaps).toFixed(1)} ms`)
    await Promise.all(consumers.map((consumer) => consumer.stop()))
  })

  test('many consumers that compile leave threads of the pool to others', async () => {
    const consumers = await Promise.all(Array.from({ length: 8 }, () => opened()))
    const compiling = Promise.all(consumers.map((consumer) => consumer.strcompile('sleep 100')))
    const before = performance.now()
    for (let i = 0; i < 5; i++) await fs.promises.stat(__filename)
    assert.ok(performance.now() - before < 300, `${performance.now() - before} ms`)
    await compiling
    await Promise.all(consumers.map((consumer) => consumer.stop()))
  })

  test('200 consumers opened and stopped in turn: memory does not grow, nothing stays open', () => {
    const { stdout, stderr } = run(library, `(async () => {
      const round = async (count) => {
        for (let i = 0; i < count; i++) {
          const consumer = await opened(${JSON.stringify(probe('p') + string('x'.repeat(200)))})
          await consumer.consume()
          await consumer.stop()
        }
        for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate) }
        return process.memoryUsage().rss
      }
      await round(100)
      const before = await round(100)
      print((await round(200) - before) / 2 ** 20, fs.readdirSync('/proc/self/fd').length < 40)
    })()`, { flags: ['--expose-gc'] })
    const [grown, closed] = stdout.trim().split(' ')
    assert.ok(grown < 8 && closed === 'true', `${stdout}${stderr}`)
  })

  const ends = {
    'the end of the program': 'await consumer.stop()',
    'process.exit()': 'process.exit()',
    'process.exit() while a program compiles': "other.strcompile('sleep 300'); setTimeout(() => process.exit(), 50)",
    'an exception': "process.nextTick(() => { throw new Error('mine') })",
    'a consumer that nobody has': `consumer = undefined; for (let i = 0; i < 20; i++) { gc(); await new Promise(setImmediate) }
      print('collected')`
  }
  for (const [what, code] of Object.entries(ends)) {
    test(`every handle is closed at ${what}`, () => {
      const { stderr, signal } = run(library,
        `(async () => { let consumer = await opened('x'), other = await opened(); ${code}
          ${/process|stop/.test(code) ? '' : 'await other.stop()'}${code.includes('await consumer.stop') ? '; await other.stop()' : ''} })()`,
        { flags: ['--expose-gc'], env: { FAKE_CLOSED: '1' } })
      assert.match(stderr, /all closed/)
      assert.strictEqual(signal, null)
    })
  }

  test('worker threads each have consumers, which go with them, also while they compile', () => {
    const { stdout, stderr, signal } = run(library, `const { Worker } = require('worker_threads')
      const code = \`const dtrace = require(${JSON.stringify(root)}), { once } = require('events')
        const { parentPort } = require('worker_threads')
        ;(async () => {
          const consumer = dtrace.createConsumer()
          await once(consumer, 'ready')
          const compiled = consumer.strcompile('sleep 100')
          parentPort.postMessage('up')
          await compiled
          await consumer.go().catch(() => {}) // another one's may be enabled
          parentPort.on('message', () => {})
        })()\`
      ;(async () => {
        for (let round = 0; round < 3; round++) {
          const workers = Array.from({ length: 3 }, () => new Worker(code, { eval: true }))
          await Promise.all(workers.map((worker) => once(worker, 'message')))
          await Promise.all(workers.map((worker) => worker.terminate()))
        }
        const consumer = await opened('x')
        await consumer.stop()
        print('alive')
      })()`, { env: { FAKE_CLOSED: '1' } })
    assert.match(stdout, /alive/, stderr)
    assert.match(stderr, /all closed\n$/)
    assert.strictEqual(signal, null)
  })
}
