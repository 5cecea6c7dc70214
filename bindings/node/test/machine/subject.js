// A program with all that the tests in the emulated machine trace. It fires everything once a second, prints
// "ready", and when what probe.fire() returns becomes another.
'use strict'
const cluster = require('cluster')
const { Worker, isMainThread } = require('worker_threads')
const usdt = require('../..')

const ones = (count, from = 1) => Array.from({ length: count }, (_, i) => from + i)

function provider (name, probes) {
  const p = usdt.createDTraceProvider(name)
  for (const [probe, types] of Object.entries(probes)) p.addProbe(probe, ...types)
  p.enable()
  return p
}

function main () {
  const live = provider('nodelive', { values: ['int', 'char *', 'json'], many: Array(32).fill('int'), removed: ['int'],
    wide: ['int8', 'uint16', 'int64', 'uint64', 'double', 'buffer'] })
  live.addProbe('added', 'int')
  const removed = live.removed
  live.removeProbe(removed)
  const again = provider('nodeagain', { start: ['int'] })
  again.disable()
  again.enable()
  const twice = [1, 2].map(() => provider('nodetwice', { start: ['int'] }))
  provider('nodecollected', { start: ['int'] })
  new Worker(__filename) // eslint-disable-line no-new

  const document = { a: [1, null, 'x'], b: { c: 1.5 } }
  let before
  setInterval(() => {
    const result = live.values.fire(() => [2 ** 52 + 1, 'h\u00e9llo', document])
    if (result !== before) console.log('fire', before = result)
    live.many.fire(() => ones(40))
    live.wide.fire(() => [-1, 65537, -(2n ** 63n), 2n ** 64n - 1n, -1.5, Buffer.from('bytes')])
    live.added.fire(() => [7])
    removed.fire(() => [8])
    again.start.fire(() => [9])
    twice.forEach((p, i) => p.start.fire(() => [i]))
  }, 1000)
}

if (!isMainThread) {
  const p = provider('nodethread', { start: ['int'] })
  setInterval(() => p.start.fire(() => [10]), 1000)
} else {
  main()
  for (let i = 1; i <= 3; i++) setTimeout(gc, 100 * i) // nodecollected
  cluster.setupPrimary({ exec: require.resolve('../worker.js'), execArgv: [] })
  for (let i = 0; i < 4; i++) cluster.fork({ N: i })
  let up = 0
  cluster.on('message', () => { if (++up === 4) console.log('ready') })
}
