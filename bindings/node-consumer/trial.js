// A libdtrace whose interface is not that of layouts.h crashes who uses it. So one that nobody here has seen at work is
// tried in a process of its own, by a program whose results are known: trial() is a promise, which fails if they differ.
'use strict'
const { execFile } = require('child_process')
const { once } = require('events')
const { isDeepStrictEqual } = require('util')

const program = `
  dtrace:::BEGIN {
    trace(42); trace("text"); printf("%d %s", 7, "printed");
    @sum[-5, "key"] = sum(3); @distribution = lquantize(12, 0, 100, 10);
  }
  dtrace:::BEGIN { trace(*(int *)16); }
  dtrace:::BEGIN { exit(0); }`
const expected = {
  records: [42, 'text', '7 printed', 0].map((data) => ['dtrace:::BEGIN', data]),
  faults: [['dtrace:::BEGIN', 16]],
  aggregations: [{ varid: 1, key: [-5, 'key'], value: 3 }, { varid: 2, key: [], value: [[[10, 19], 1]] }]
}

const nameOf = ({ provider, module, func, name }) => [provider, module, func, name].join(':')

async function results () {
  const binding = require('./build/consumer.node')
  const Consumer = require('./consumer')(binding, binding.reason)
  const consumer = new Consumer()
  const found = { records: [], faults: [] }
  consumer.on('fault', ({ probe, address }) => found.faults.push([nameOf(probe), address]))
  try {
    await once(consumer, 'ready')
  } catch ({ message }) {
    return { refusal: message }
  }
  await consumer.strcompile(program)
  await consumer.go()
  for await (const { probe, data } of consumer) found.records.push([nameOf(probe), data])
  found.aggregations = (await consumer.aggwalk()).sort((a, b) => a.varid - b.varid)
  await consumer.stop()
  return found
}

// The error if a process that ended so, or printed that, is not as it should be.
function judge (failure, stdout, ms) {
  const refused = (why) => new Error(`this libdtrace was tried in another process, and is not used: ${why}`)
  if (failure?.killed) return refused(`there was no answer within ${ms / 1000} s`)
  if (failure?.signal) return refused(`the process was ended by ${failure.signal}`)
  if (failure) return refused(failure.message)
  let found
  try {
    found = JSON.parse(stdout.trim().split('\n').pop())
  } catch {
    return refused(`it printed ${JSON.stringify(stdout.slice(0, 300))}`)
  }
  if (found.refusal !== undefined) return new Error(found.refusal) // what there would be without a trial
  if (found.error !== undefined) return refused(found.error)
  const different = Object.keys(expected).find((kind) => !isDeepStrictEqual(found[kind], expected[kind]))
  return different && refused(`${different} were ${JSON.stringify(found[different]).slice(0, 300)}`)
}

function trial (ms = 60000) {
  const { NODE_OPTIONS, ...env } = process.env // such as a debugger that waits
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [__filename], { env: { ...env, ELECTRON_RUN_AS_NODE: '1' }, timeout: ms, killSignal: 'SIGKILL' },
      (failure, stdout) => {
        const error = judge(failure, stdout, ms)
        if (error === undefined) resolve()
        else reject(error)
      })
  })
}

if (require.main === module) {
  results().catch(({ message }) => ({ error: message })).then((found) => console.log(JSON.stringify(found)))
} else {
  module.exports = trial
}
