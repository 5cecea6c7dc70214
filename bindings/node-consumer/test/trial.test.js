// What is done with a libdtrace that nobody has seen at work: trial.js, on the fake.
'use strict'
const assert = require('node:assert')
const { once } = require('node:events')
const test = require('node:test')
const { fake, integer, load, probe, record, run } = require('./support')

const dtrace = load(true)
const library = process.env.USDT_LIBDTRACE
const trial = require('../trial')
const refused = (why) => ({ message: `this libdtrace was tried in another process, and is not used: ${why}` })

async function tried (program, ms) {
  process.env.FAKE_TRIAL = program
  try {
    await trial(ms)
  } finally {
    delete process.env.FAKE_TRIAL
  }
}

test('one that does as expected passes', () => trial())

test('one whose records are others does not', async () => {
  const begin = probe('BEGIN').replace('prov mod fun', 'dtrace - -')
  await assert.rejects(tried(begin + integer(42, 4) + record('exit', 4, 0, '00') + 'done'),
    refused('records were [["dtrace:::BEGIN",42],["dtrace:::BEGIN",0]]'))
  await assert.rejects(tried(probe('BEGIN') + integer(43, 4) + 'done'), refused('records were [["prov:mod:fun:BEGIN",43]]'))
})

test('one whose faults or aggregations are others does not', async () => {
  const records = 'probe dtrace - - BEGIN\nrecord 1 4 1 2a000000\nrecord 1 256 4 74657874\nprint 7%20printed\nrecord 2 4 1 00\ndone\n'
  await assert.rejects(tried(records), refused('faults were []'))
  await assert.rejects(tried(records + 'fault 1 17 x\n'), refused('faults were [["dtrace:::BEGIN",17]]'))
  await assert.rejects(tried(records + 'fault 1 16 x\naggregation 1 1\nvalue 705 0 0300000000000000\n'),
    refused('aggregations were [{"varid":1,"key":[],"value":3}]'))
})

test('nor one that ends its process, that never answers, or that refuses', async () => {
  await assert.rejects(tried('crash'), refused('the process was ended by SIGABRT'))
  await assert.rejects(tried('quit'), refused('it printed ""'))
  await assert.rejects(tried('sleep 60000', 500), refused('there was no answer within 0.5 s'))
  await assert.rejects(tried('error no such probe'), refused("couldn't compile: no such probe"))
})

test('it harms no consumer; the next one tries again, and then nobody does', async () => {
  process.env.FAKE_TRIAL = 'crash'
  const broken = dtrace.createConsumer()
  const [error] = await once(broken, 'error')
  assert.deepStrictEqual({ message: error.message }, refused('the process was ended by SIGABRT'))
  assert.throws(() => broken.setopt('quiet'), { message: 'consumer is not ready: it could not be opened' })
  delete process.env.FAKE_TRIAL
  const consumer = dtrace.createConsumer()
  await once(consumer, 'ready')
  process.env.FAKE_TRIAL = 'crash'
  const other = dtrace.createConsumer()
  await once(other, 'ready')
  delete process.env.FAKE_TRIAL
  await Promise.all([consumer.stop(), other.stop()])
})

test('that it may not be opened is said as the library says it', () => {
  const code = "dtrace.createConsumer().on('error', ({ message }) => print(message))"
  assert.match(run(library, code, { env: { FAKE_OPEN_ERROR: '1' } }).stdout, /^DTrace requires additional privileges\n$/)
})

test('that of DTrace 2 for Linux is used at once', () => {
  const { stdout } = run(fake(false), 'opened().then((consumer) => consumer.stop()).then(() => print("opened"))',
    { env: { FAKE_TRIAL: 'crash' } })
  assert.strictEqual(stdout, 'opened\n')
})
