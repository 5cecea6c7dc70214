// 10^8 fires of a probe that nobody traces, and 10^6 of one that bpftrace counts: memory does not grow.
'use strict'
const assert = require('node:assert')
const { bpftrace, program, tracing } = require('./support')

tracing('a soak', async (t) => {
  const traced = program(t, `
    const p = usdt.createDTraceProvider('nodesoak')
    const probe = p.addProbe('start', 'int', 'char *', 'json', 'buffer')
    p.enable()
    const values = (i) => [i, 'text ' + i, { i, list: [1, 2, 3] }, new Uint8Array(8)]
    const rss = () => { gc(); return process.memoryUsage().rss }
    const grown = (fires, expected) => {
      const round = () => { for (let i = 0; i < fires / 10; i++) if (probe.fire(values, i) !== expected) throw i }
      for (let n = 0; n < 4; n++) round()
      const before = rss()
      for (let n = 4; n < 10; n++) round()
      return Math.round((rss() - before) / 2 ** 20)
    }
    print('untraced', grown(1e8, undefined))
    const timer = setInterval(() => {
      if (!probe.fire(values, 0)) return
      clearInterval(timer)
      print('traced', grown(1e6, true))
      setInterval(() => {}, 1000)
    }, 20)
    print('ready')`, '--expose-gc', '--max-semi-space-size=2') // V8's own part would grow for a while
  await traced.prints('^ready')
  const tracer = await bpftrace(t, 'usdt:*:nodesoak:start { @hits = count(); }', traced.pid)
  await traced.prints('^traced')
  const hits = Number((await tracer.stop()).match(/@hits: (\d+)/)[1])
  t.diagnostic(`MB: ${traced.output.split('\n').join(' ')}`)
  for (const grown of traced.output.match(/(?<=traced )-?\d+/g).map(Number)) assert.ok(grown < 8, `${grown} MB`)
  assert.ok(hits >= 0.99e6, `${hits} hits`)
})
