// What a probe costs that nobody traces: ns per call in a warm loop, of which the loop itself is the first row; bytes
// of heap per call; and beside it the ways that call native code. The best of several rounds.
'use strict'
const { DTraceProvider } = require('..')
const binding = require('../build/usdt.node')
const Asking = require('../provider')({ ...binding, site: () => null })

const CALLS = 2e7; const ROUNDS = 9

function enabledProvider (Provider, count) {
  const p = new Provider('nodebench')
  for (let i = 0; i < count; i++) p.addProbe('probe' + i, 'int', 'char *')
  p.enable()
  return p
}
const p = enabledProvider(DTraceProvider, 8)
const probes = Array.from({ length: 8 }, (_, i) => p['probe' + i])
const asking = enabledProvider(Asking, 1)

const native = binding.provider('nodebench', 'm')
const handle = binding.probe(native, 'probe', 6)
binding.enable(native)

// Each loop is a function of its own, so that none is optimized for another.
const loop = (body) => Function('p', 'probe', 'probes', 'callback', 'binding', 'handle', 'n', `
  let x = 0; for (let i = 0; i < n; i++) { ${body} } return x`)
const args = [p, p.probe0, probes, (a, b) => [a, b], binding, handle]
const rows = [
  ['the loop', loop('x += i & 7'), args],
  ['probe.fire(callback)', loop('probe.fire(callback)'), args],
  ['probe.fire(callback, i, x, n)', loop('probe.fire(callback, i, x, n)'), args],
  ['probe(callback)', loop('probe(callback)'), args],
  ['probe.fire(callback), 8 probes in turn', loop('probes[i & 7].fire(callback)'), args],
  ["provider.fire('probe0', callback)", loop("p.fire('probe0', callback)"), args],
  ['the native call alone', loop('binding.enabled(handle)'), args],
  ['probe.fire(callback), by the native call', loop('probe.fire(callback)'),
    [asking, asking.probe0, ...args.slice(2)]]
]
for (const row of rows) row.push(Infinity)
for (let round = 0; round < ROUNDS; round++) { // in turns: what else the machine does is shared out
  for (const row of rows) {
    const start = process.hrtime.bigint()
    row[1](...row[2], CALLS)
    row[3] = Math.min(row[3], Number(process.hrtime.bigint() - start) / CALLS)
  }
}
console.log(`Node.js ${process.version} ${process.arch}: ns and bytes of heap per call`)
for (const [name, run, with_, ns] of rows) {
  global.gc?.()
  const before = process.memoryUsage().heapUsed
  run(...with_, 1e6)
  const bytes = (process.memoryUsage().heapUsed - before) / 1e6
  console.log(`${name.padEnd(42)} ${ns.toFixed(1).padStart(6)} ${bytes.toFixed(1).padStart(6)}`)
}
