// A consumer of traces, on the native binding (consumer_node.c). Keeps to the rules of the API: which calls are allowed
// when, and one at a time.
'use strict'
const { EventEmitter } = require('events')
const { setTimeout: sleep } = require('timers/promises')
const decode = require('./decode')

// In the order of libdtrace.h.
const [OPEN, COMPILE, GO, READ, AGGREGATE, SETOPT, STOP] = Array(7).keys()
const POLL = 100 // ms from one look for records to the next, where there were none

const complaints = {
  opening: 'consumer is not ready',
  failed: 'consumer is not ready: it could not be opened',
  ready: 'consumer has no program: strcompile() comes first',
  compiled: 'consumer is not enabled: go() comes first',
  enabled: 'consumer is enabled already',
  stopping: 'consumer is stopped',
  stopped: 'consumer is stopped'
}

// libdtrace takes one call at a time: those of all consumers wait here, and not in the threads of libuv's pool.
let last = Promise.resolve()
function inTurn (run) {
  const turn = last.then(run)
  last = turn.catch(() => {})
  return turn
}

function mustBeFunction (callback) {
  if (typeof callback !== 'function') throw new TypeError('callback must be a function')
}

// prepare(): a promise, before a handle is opened.
module.exports = (binding, reason, prepare = async () => {}) => class Consumer extends EventEmitter {
  #handle
  #state = 'opening'
  #busy = false
  #queues = { records: [], aggregations: [] } // read, and not yet handed out: arrays of a callback's arguments
  #iterators = 0
  #done = false
  #stopped

  constructor () {
    super()
    this.#open().then(() => ['ready'], (error) => ['error', error])
      .then((event) => process.nextTick(() => this.emit(...event))) // what a listener throws is not the promise's
  }

  version () {
    return reason === undefined ? binding.version() : undefined
  }

  strcompile (program, callback) {
    if (typeof program !== 'string') throw new TypeError('program must be a string')
    return this.#call(callback, ['ready', 'compiled'], async () => {
      await this.#run(COMPILE, program)
      this.#state = 'compiled'
    })
  }

  go (callback) {
    return this.#call(callback, ['compiled'], async () => {
      await this.#run(GO)
      this.#state = 'enabled'
    })
  }

  stop (callback) {
    return this.#call(callback, ['ready', 'compiled', 'enabled'], () => {
      this.#state = 'stopping'
      const run = this.#run(STOP).finally(() => {
        this.#state = 'stopped'
        if (this.#iterators === 0) this.#queues.records = []
      })
      this.#stopped = run.catch(() => {})
      return run
    })
  }

  setopt (option, value) {
    this.#check('ready', 'compiled', 'enabled')
    this.#take(binding.now(this.#handle, SETOPT, String(option), value === undefined ? undefined : String(value)))
  }

  consume (callback) {
    if (callback !== undefined) return this.#each('records', READ, callback)
    return this.#call(undefined, ['enabled'], async () => {
      await this.#run(READ)
      return this.#values()
    })
  }

  aggwalk (callback) {
    if (callback !== undefined) return this.#each('aggregations', AGGREGATE, callback)
    return this.#call(undefined, ['enabled'], async () => {
      await this.#run(AGGREGATE)
      return this.#queues.aggregations.splice(0).map(([varid, key, value]) => ({ varid, key, value }))
    })
  }

  // Ends when the program has called exit(), or stop() is called; then with what END recorded.
  async * [Symbol.asyncIterator] () {
    this.#check('enabled')
    this.#iterators++
    try {
      for (;;) {
        const over = this.#done || this.#state !== 'enabled'
        await (over ? this.#stopped : this.#run(READ))
        const values = this.#values()
        yield * values
        if (over) return
        if (values.length === 0 && !this.#done) await sleep(POLL)
      }
    } finally {
      this.#iterators--
    }
  }

  async #open () {
    if (reason !== undefined) {
      this.#state = 'failed'
      throw new Error(reason)
    }
    this.#handle = binding.create()
    try {
      await prepare()
      await this.#run(OPEN)
      this.#state = 'ready'
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
  }

  #check (...states) {
    if (this.#busy) throw new Error('consumer is busy')
    if (!states.includes(this.#state)) throw new Error(complaints[this.#state])
  }

  // With a callback what is not allowed is thrown at once; without one it is in the promise, as all else.
  #call (callback, states, work) {
    if (callback === undefined) return (async () => this.#alone(states, work))()
    mustBeFunction(callback)
    this.#alone(states, work).then(() => process.nextTick(callback, null), (error) => process.nextTick(callback, error))
  }

  #alone (states, work) {
    this.#check(...states)
    this.#busy = true
    return work().finally(() => { this.#busy = false })
  }

  async #run (operation, text) {
    this.#take(await inTurn(() => binding.run(this.#handle, operation, text)))
  }

  #take (output) {
    const { records, aggregations, drops, faults, error, done } = decode(output)
    this.#queues.records = this.#queues.records.concat(records)
    this.#queues.aggregations = this.#queues.aggregations.concat(aggregations)
    this.#done ||= done
    for (const drop of drops) this.emit('drop', drop)
    for (const fault of faults) this.emit('fault', fault)
    if (error !== undefined) throw new Error(error)
  }

  #values () {
    return this.#queues.records.splice(0).flatMap(([probe, record]) => record ? [{ probe, data: record.data }] : [])
  }

  // What a callback that throws has not been given it gets the next time.
  #each (name, operation, callback) {
    mustBeFunction(callback)
    this.#check('enabled')
    let failure
    try {
      this.#take(binding.now(this.#handle, operation))
    } catch (error) {
      failure = error
    }
    const queue = this.#queues[name]
    this.#queues[name] = []
    let given = 0
    try {
      while (given < queue.length) callback(...queue[given++])
    } finally {
      this.#queues[name] = queue.slice(given).concat(this.#queues[name])
    }
    if (failure) throw failure
  }
}
