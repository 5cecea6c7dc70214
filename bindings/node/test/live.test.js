// What bpftrace sees.
'use strict'
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { bpftrace, installed, program, root, start, trace, tracing } = require('./support')

const maps = (pid) => fs.readFileSync(`/proc/${pid}/maps`, 'utf8')

tracing('int, char * and json', async (t) => {
  const [line] = await trace(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('start', 'int', 'char *', 'json')
    p.enable()
    setInterval(() => probe.fire(() => [2 ** 52 + 1, 'h\\u00e9llo', { a: [1, null, 'x'], b: { c: 1.5 } }]), 20)
    print('ready')`,
  'usdt:*:nodelive:start { printf("<%lld|%s|%s>\\n", arg0, str(arg1), str(arg2)); }', '^<.*>$')
  assert.strictEqual(line, '<4503599627370497|héllo|{"a":[1,null,"x"],"b":{"c":1.5}}>')
})

tracing('the ways to fire: their results, and what the callback gets', async (t) => {
  const [round] = await trace(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('start', 'int')
    p.enable()
    const self = function (...args) { return [this === probe ? args.length : -1] }
    const timer = setInterval(() => {
      if (!probe.fire(() => [0])) return
      const results = [probe.fire(self, 1, 2), probe(self, 1, 2, 3), p.fire('start', self, ...Array(40)),
        probe.fire(() => 1), probe.fire(() => undefined), probe.fire(() => ({ 0: 1, length: 1 })),
        probe.fire(() => { throw new Error('x') }), p.fire('start', () => { throw 1 }),
        probe.fire(new Proxy(() => [77], {}))]
      p.fire('start', () => [results.map((result) => result === true ? 1 : 0).reduce((a, b) => 2 * a + b)])
    }, 20)
    print('ready')`,
  'usdt:*:nodelive:start { printf("%d\\n", arg0); }', '^0\n2\n3\n40\n77\n\\d+$')
  assert.strictEqual(round, `0\n2\n3\n40\n77\n${0b111000011}`)
})

// Of what is fired in rounds: the first may be cut.
function sameSet (lines, expected) {
  assert.deepStrictEqual([...new Set(lines)].sort(), [...new Set(expected)].sort())
}

// Each value as each type. Numbers are cut to integers, the nearest 64 bits have; then, as BigInts, to the type's.
const integers = [
  ['-1', '-1 -1 -1 -1 -1', 'ff ffff ffffffff ffffffffffffffff'],
  ['200.9', '-56 200 200 200 200', 'c8 c8 c8 c8'],
  ['-(2 ** 31)', '0 0 -2147483648 -2147483648 -2147483648', '0 0 80000000 ffffffff80000000'],
  ['2 ** 63', '-1 -1 -1 9223372036854775807 9223372036854775807', 'ff ffff ffffffff 8000000000000000'],
  ['-1e300', '0 0 0 -9223372036854775808 -9223372036854775808', '0 0 0 8000000000000000'],
  ['Infinity', '-1 -1 -1 9223372036854775807 9223372036854775807', 'ff ffff ffffffff ffffffffffffffff'],
  ['NaN', '0 0 0 0 0', '0 0 0 0'],
  ['2n ** 64n - 2n', '-2 -2 -2 -2 -2', 'fe fffe fffffffe fffffffffffffffe'],
  ['-(2n ** 63n)', '0 0 0 -9223372036854775808 -9223372036854775808', '0 0 0 8000000000000000'],
  ['2n ** 70n + 3n', '3 3 3 3 3', '3 3 3 3'],
  ['true', '1 1 1 1 1', '1 1 1 1'],
  ['"42"', '42 42 42 42 42', '2a 2a 2a 2a'],
  ['"x"', '0 0 0 0 0', '0 0 0 0'],
  ['null', '0 0 0 0 0', '0 0 0 0'],
  ['undefined', '0 0 0 0 0', '0 0 0 0'],
  ['Symbol("x")', '0 0 0 0 0', '0 0 0 0'],
  ['{ valueOf() { throw 1 } }', '0 0 0 0 0', '0 0 0 0'],
  ['new Date(5)', '5 5 5 5 5', '5 5 5 5'],
  ['[[7]]', '7 7 7 7 7', '7 7 7 7']
]

tracing('integers: each type has its width and sign, and each value a defined meaning', async (t) => {
  const lines = await trace(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const signed = p.addProbe('signed', 'int', 'int8', 'int16', 'int32', 'int64', 'int')
    const unsigned = p.addProbe('unsigned', 'int', 'uint8', 'uint16', 'uint32', 'uint64')
    p.enable()
    const values = [${integers.map(([value]) => value).join(', ')}]
    setInterval(() => values.forEach((value, i) => {
      signed.fire(() => [i, ...Array(5).fill(value)])
      unsigned.fire(() => [i, ...Array(4).fill(value)])
    }), 20)
    print('ready')`,
  `usdt:*:nodelive:signed { printf("%d s %d %d %d %lld %lld\\n", arg0, arg1, arg2, arg3, arg4, arg5); }
   usdt:*:nodelive:unsigned { printf("%d u %x %x %x %llx\\n", arg0, arg1, arg2, arg3, arg4); }`,
  '^\\d+ [su] .*$', 6 * integers.length)
  sameSet(lines, integers.flatMap(([, signed, unsigned], i) => [`${i} s ${signed}`, `${i} u ${unsigned}`]))
})

const texts = [
  ['"text"', 'text'], ['undefined', 'undefined'], ['null', 'null'], ['12n', '12'], ['Symbol("x")', 'Symbol(x)'],
  ['"\\ud800lone\\udfff"', '\ufffdlone\ufffd'], ['"\\u{1f600}\\u20ac"', '\u{1f600}\u20ac'], ['"cut\\0here"', 'cut'],
  ['({ toString() { throw 1 } })', 'undefined'], ['Object.create(null)', 'undefined'], ['""', ''],
  ['"x".repeat(4090) + "\\u20ac".repeat(9)', 'x'.repeat(63)], ['"y".repeat(2 ** 26)', 'y'.repeat(63)],
  ['new Proxy({}, { get() { throw 1 } })', 'undefined'], ['[1, [2, 3]]', '1,2,3']
]
const documents = [
  ['{ a: 1 }', '{"a":1}'], ['undefined', 'undefined'], ['() => 1', 'undefined'], ['"text"', '"text"'],
  ['1n', '{ "error": "stringify failed" }'], ['{ toJSON() { throw 1 } }', '{ "error": "stringify failed" }'],
  ['(() => { const a = []; a.push(a); return a })()', '{ "error": "stringify failed" }'],
  ['"\\ud800"', '"\\ud800"'], ['{ toJSON: () => 5 }', '5'], ['NaN', 'null'], ['null', 'null']
]

tracing('strings and json: any value is one', async (t) => {
  const count = texts.length + documents.length
  const lines = await trace(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const text = p.addProbe('text', 'int', 'char *', 'unknown', 'char *'), json = p.addProbe('json', 'int', 'json')
    p.enable()
    const texts = [${texts.map(([value]) => value).join(', ')}], documents = [${documents.map(([value]) => value).join(', ')}]
    setInterval(() => {
      texts.forEach((value, i) => text.fire(() => [i, value, 'next', value]))
      documents.forEach((value, i) => json.fire(() => [i, value]))
    }, 200)
    print('ready')`,
  `usdt:*:nodelive:text { printf("<%d|%s|%s>\\n", arg0, str(arg1), str(arg2)); }
   usdt:*:nodelive:json { printf("<%d|%s>\\n", arg0, str(arg1)); }`, '^<.*>$', 3 * count)
  const cut = /(x{63}|y{63})[xy]?(\.\.)?/ // as bpftrace 0.17 does; 0.27 has one more, and says that it cut
  sameSet(lines.map((line) => line.replace(cut, '$1')), [...texts.map(([, text], i) => `<${i}|${text}|next>`),
    ...documents.map(([, text], i) => `<${i}|${text}>`)])
})

tracing('buffers are address and length, doubles their bits, whatever is given', async (t) => {
  const given = ['Buffer.from("bytes")', 'new Uint16Array([0x4241, 0x4443])', 'new DataView(new ArrayBuffer(8), 2, 3)',
    'Buffer.from("shared").buffer.slice(0, 0)', 'new SharedArrayBuffer(2)', '"text"', 'undefined',
    'Object.defineProperty(Buffer.from("x"), "byteLength", { value: 1e9 })',
    '(() => { const b = new Uint8Array(8); structuredClone(b, { transfer: [b.buffer] }); return b })()']
  const lengths = [5, 4, 3, 0, 2, 0, 0, 0, 0]
  const doubles = ['1.5', '-0', '"2.5"', '10n', 'undefined', '{}', 'Symbol()', '-Infinity', 'null']
  const bits = ['3ff8000000000000', '8000000000000000', '4004000000000000', '4024000000000000', '0',
    '7ff8000000000000', '0', 'fff0000000000000', '0']
  const lines = await trace(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('start', 'int', 'buffer', 'double')
    p.enable()
    const buffers = [${given.join(', ')}], doubles = [${doubles.join(', ')}]
    setInterval(() => buffers.forEach((buffer, i) => probe.fire(() => [i, buffer, doubles[i]])), 20)
    print('ready')`,
  'usdt:*:nodelive:start { printf("<%d|%d|%llx|%r>\\n", arg0, arg2, arg3, buf(arg1, arg2)); }',
  '^<.*>$', 3 * given.length)
  const contents = ['bytes', 'ABCD', '\\x00\\x00\\x00', '', '\\x00\\x00', '', '', '', '']
  sameSet(lines, lengths.map((length, i) => `<${i}|${length}|${bits[i]}|${contents[i]}>`))
})

tracing('of 32 arguments 12 are seen to arrive, also where the callback gives more or fewer', async (t) => {
  const values = [`<${Array.from({ length: 12 }, (_, i) => i + 1).join(' ')}>`, `<5${' 0'.repeat(11)}>`]
  const format = `<${Array(12).fill('%d').join(' ')}>\\n`
  const traced = program(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('many', ...Array(40).fill('int'))
    p.enable()
    setInterval(() => { probe.fire(() => Array.from({ length: 50 }, (_, i) => i + 1)); probe.fire(() => [5]) }, 20)
    print('ready')`)
  await traced.prints('^ready')
  const args = (name) => Array.from({ length: 12 }, (_, i) => `${name}${i}`).join(', ')
  let tracer
  if (installed('gdb')) { // bpftrace 0.17 shows 6
    const [, base, file] = maps(traced.pid).match(/^(\w+)-.* (\/.*nodelive-.*\.so)$/m)
    const print = `printf "${format}", ${args('$_probe_arg')}`
    tracer = start(t, 'gdb', ['-nx', '-q', '-batch', '-p', traced.pid, '-ex', 'handle all nostop noprint pass',
      '-ex', `add-symbol-file "${file}" -o 0x${base}`, '-ex', 'break -probe-stap nodelive:many',
      '-ex', 'continue', '-ex', print, '-ex', 'continue', '-ex', print])
  } else {
    tracer = await bpftrace(t, `usdt:*:nodelive:many { printf("${format}", ${args('arg')}); }`, traced.pid)
  }
  for (const line of values) await tracer.prints(`^${line}$`)
})

tracing('a probe that is added to an enabled provider is there at once; those traced go on', async (t) => {
  const traced = program(t, `
    const p = usdt.createDTraceProvider('nodelive')
    let n = 0
    p.addProbe('first', 'int')
    p.enable()
    setInterval(() => { p.first.fire(() => [n++]); p.second?.fire(() => [5]) }, 20)
    process.on('SIGUSR2', () => { p.addProbe('second', 'int'); print('added', String(p.reason)) })
    print('ready')`)
  await traced.prints('^ready')
  const first = await bpftrace(t, 'usdt:*:nodelive:first { printf("first %d\\n", arg0); }', traced.pid)
  await first.prints('^first')
  traced.kill('SIGUSR2')
  await traced.prints('^added undefined$')
  const second = await bpftrace(t, 'usdt:*:nodelive:second { printf("second %d\\n", arg0); }', traced.pid)
  await second.prints('^second 5$')
  await second.stop()
  const numbers = (await first.stop()).match(/^first \d+$/gm).map((line) => Number(line.slice(6)))
  assert.deepStrictEqual(numbers, numbers.map((_, i) => numbers[0] + i), 'none is missing')
})

tracing('disabled and enabled again, it is traced again; removed, never', async (t) => {
  const traced = program(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('start', 'int'), other = p.addProbe('other')
    p.enable()
    process.on('SIGUSR2', () => {
      p.disable(); print('disabled', probe.fire(() => [1]))
      p.enable()
    })
    process.on('SIGHUP', () => { p.removeProbe(probe); print('removed', probe.fire(() => [1]), other.fire(() => [1])) })
    setInterval(() => probe.fire(() => [7]), 20)
    print('ready')`)
  await traced.prints('^ready')
  for (let round = 1; round <= 2; round++) {
    const tracer = await bpftrace(t, 'usdt:*:nodelive:start { printf("hit %d\\n", arg0); }', traced.pid)
    await tracer.prints('^hit 7$')
    traced.kill('SIGUSR2')
    await traced.prints('^disabled undefined', round)
    await tracer.stop()
  }
  const tracer = await bpftrace(t,
    'usdt:*:nodelive:start { printf("hit %d\\n", arg0); } usdt:*:nodelive:other { }', traced.pid)
  await tracer.prints('^hit 7$')
  traced.kill('SIGHUP')
  await traced.prints('^removed undefined true')
  await tracer.stop()
})

tracing('two providers, and the same provider twice', async (t) => {
  const lines = await trace(t, `
    const make = (name, value) => {
      const p = usdt.createDTraceProvider(name)
      const probe = p.addProbe('start', 'int')
      p.enable()
      setInterval(() => probe.fire(() => [value]), 20)
    }
    make('nodeone', 1); make('nodetwo', 2); make('nodetwo', 3)
    print('ready')`,
  'usdt:*:nodeone:start { printf("one %d\\n", arg0); } usdt:*:nodetwo:start { printf("two %d\\n", arg0); }',
  '^(one|two) \\d$', 30)
  assert.deepStrictEqual([...new Set(lines)].sort(), ['one 1', 'two 2', 'two 3'])
})

for (const call of ['probe.fire(values)', 'probe(values)']) {
  tracing(`a loop of ${call} notices the tracer, and that it is gone`, async (t) => {
    const traced = program(t, `
      const p = usdt.createDTraceProvider('nodelive')
      const probe = p.addProbe('start', 'int'), values = () => [1]
      p.enable()
      function loop (wanted) { let n = 0; while (${call} !== wanted) n++; return n }
      print('ready')
      print('traced', loop(true))
      print('left', loop(undefined))`)
    await traced.prints('^ready')
    const tracer = await bpftrace(t, 'usdt:*:nodelive:start { @ = count(); }', traced.pid)
    await traced.prints('^traced')
    await tracer.stop()
    await traced.prints('^left')
    assert.strictEqual(await traced.ended, 0)
  })
}

tracing('a callback that disables, removes, or fires again', async (t) => {
  const traced = program(t, `
    const p = usdt.createDTraceProvider('nodelive')
    const probe = p.addProbe('start', 'int', 'char *'), other = p.addProbe('other', 'int')
    p.enable()
    const timer = setInterval(() => {
      if (!other.fire(() => [0])) return
      clearInterval(timer)
      let depth = 0
      const again = () => { if (depth++ < 100) probe.fire(again); return [depth, 'x'] }
      print('again', probe.fire(again))
      print('disabled', probe.fire(() => [1, { toString() { p.disable(); return 'x' } }]))
      p.enable()
      print('removed', other.fire(() => { p.removeProbe(probe); return [1] }), probe.fire(() => [1]))
    }, 20)
    print('ready')`)
  await traced.prints('^ready')
  await bpftrace(t, 'usdt:*:nodelive:* { @ = count(); }', traced.pid)
  await traced.prints('^removed')
  assert.match(traced.output, /again true\ndisabled true\nremoved (true|undefined) undefined/)
})

tracing('a cluster of 4 workers is traced with one attach', async (t) => {
  const traced = program(t, `
    const cluster = require('cluster')
    cluster.setupPrimary({ exec: ${JSON.stringify(path.join(__dirname, 'worker.js'))}, execArgv: [] })
    for (let i = 0; i < 4; i++) cluster.fork({ N: i })
    let up = 0
    cluster.on('message', (worker) => { if (++up === 4) print('ready', worker.process.pid) })`)
  await traced.prints('^ready')
  const [file] = maps(traced.output.match(/\d+/)[0]).match(/\/\S*\/nodecluster-\w+\.so/)
  const tracer = await bpftrace(t, `usdt:${file}:nodecluster:start { printf("worker %d\\n", arg0); }`)
  for (const n of [0, 1, 2, 3]) await tracer.prints(`^worker ${n}$`)
  await tracer.stop()
})

tracing('a worker thread', async (t) => {
  const traced = program(t, `
    const { Worker } = require('worker_threads')
    new Worker(${JSON.stringify(`
      const p = require(${JSON.stringify(root)}).createDTraceProvider('nodelive'), probe = p.addProbe('start', 'int')
      p.enable()
      setInterval(() => probe.fire(() => [require('worker_threads').threadId]), 20)
      require('fs').writeSync(1, 'ready\\n')`)}, { eval: true })`)
  await traced.prints('^ready')
  const tracer = await bpftrace(t, 'usdt:*:nodelive:start { printf("%d %d\\n", arg0, pid == tid); }', traced.pid)
  await tracer.prints('^1 0$')
  await tracer.stop()
})

tracing('what is collected while it is traced harms nobody', async (t) => {
  const traced = program(t, `
    let p = usdt.createDTraceProvider('nodelive'), probe = p.addProbe('start', 'int'), fired = 0
    const other = usdt.createDTraceProvider('nodelast'), last = other.addProbe('end', 'int')
    p.enable(); other.enable()
    print('ready')
    const maps = () => fs.readFileSync('/proc/self/maps', 'utf8')
    setInterval(() => {
      if (probe && probe.fire(() => [++fired]) && fired === 3) p = probe = undefined
      gc()
      if (!probe && !/nodelive-/.test(maps())) last.fire(() => [fired])
    }, 100 * (process.env.USDT_TEST_PATIENCE || 1))`, '--expose-gc')
  await traced.prints('^ready')
  const tracer = await bpftrace(t, `usdt:*:nodelive:start { printf("start %d\\n", arg0); }
    usdt:*:nodelast:end { printf("end %d\\n", arg0); }`, traced.pid)
  await tracer.prints('^end 3$', 3)
  await tracer.stop()
  assert.deepStrictEqual(tracer.output.match(/^start .*/gm), ['start 1', 'start 2', 'start 3'])
  assert.strictEqual(traced.exitCode, null)
})
