// Providers and probes, on the native binding (usdt_node.c). That a probe is not traced is seen here: its site, 4
// bytes of the code that tracers patch, is read as an array's element, and nothing native is called.
'use strict'
const { isAnyArrayBuffer } = require('util').types
const { isArray } = Array
const { isView } = ArrayBuffer
const { stringify } = JSON
const { apply } = Reflect

// In the order of usdt_node.c.
const kinds = ['string', 'buffer', 'double', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64']

// dtrace-provider goes by the prefixes json, char * and int, and takes all else for char *.
function kindOf (type) {
  return kinds.includes(type) ? type : /^int/.test(type) ? 'int64' : 'string'
}

function toBytes (value) {
  if (isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  return isAnyArrayBuffer(value) ? new Uint8Array(value) : undefined
}

function toJSON (value) {
  try {
    return String(stringify(value))
  } catch {
    return '{ "error": "stringify failed" }'
  }
}

const toInteger = (value) => typeof value === 'bigint' ? value : Number(value)
const toDouble = (value) => value === undefined ? value : Number(value)

// From a callback's value to what usdt_node.c takes; may run the program's code.
function converterOf (type) {
  if (/^json/.test(type)) return toJSON
  return { string: String, buffer: toBytes, double: toDouble }[kindOf(type)] || toInteger
}

// A value that cannot be had or converted counts as undefined.
function convert (converters, values) {
  return converters.map((converter, i) => {
    try {
      return converter(values[i])
    } catch {
      return undefined
    }
  })
}

function notACallback () {
  throw new TypeError('Must give probe value callback as first argument')
}

// A class that extends this makes functions: what the constructor is given becomes its `this`.
function Callable (target) { return target }
Callable.prototype = Function.prototype

module.exports = function (binding) {
  const PRISTINE = binding.pristine
  const inert = Uint32Array.of(PRISTINE) // the site of a probe that is not published
  const ask = Uint32Array.of(~PRISTINE) // of one that is listened to, or whose site this Node.js cannot read

  const nobody = []

  let own, place, remove, fire // what a provider does with a probe

  class DTraceProbe extends Callable {
    #site = inert
    #listeners = nobody // while there are any, the site is `ask`
    #unheard // and what it is without them
    #name
    #handle
    #reason
    #converters
    #provider // lives as long as its probe

    constructor (provider, name, types, handle, reason) {
      const probe = function (callback) {
        if (probe.#site[0] === PRISTINE) {
          if (typeof callback !== 'function') notACallback()
          return undefined
        }
        return probe.#fired(...arguments)
      }
      super(Object.setPrototypeOf(probe, DTraceProbe.prototype))
      this.#provider = provider
      this.#name = name
      this.#converters = types.map(converterOf)
      this.#handle = handle
      this.#reason = reason
    }

    fire (callback) {
      if (this.#site[0] === PRISTINE) {
        if (typeof callback !== 'function') notACallback()
        return undefined
      }
      return this.#fired(...arguments)
    }

    get reason () {
      return this.#reason ?? this.#provider.reason
    }

    // Whether the probe is traced must make no difference to the program: what its callback throws is dropped.
    #fired (callback, ...args) {
      if (typeof callback !== 'function') notACallback()
      if (this.#site === ask && !binding.enabled(this.#handle)) return undefined
      let values
      try {
        values = apply(callback, this, args)
        if (!isArray(values)) return undefined
      } catch {
        return undefined
      }
      const heard = binding.fire(this.#handle, ...convert(this.#converters, values))
      if (heard !== undefined) this.#tell(heard)
      return true
    }

    // Nor must a listener: what it throws is an uncaught exception, later.
    #tell (heard) {
      for (const { listener } of this.#listeners) {
        try {
          apply(listener, this, heard)
        } catch (error) {
          process.nextTick(() => { throw error })
        }
      }
    }

    listen (listener) {
      if (typeof listener !== 'function') throw new TypeError('Must give listener as first argument')
      if (this.#handle === undefined) return () => {}
      if (this.#listeners.length === 0) {
        const why = binding.listen(this.#handle)
        if (why !== undefined) throw new Error(why)
        this.#unheard = this.#site
        this.#site = ask
      }
      const mine = { listener }
      this.#listeners = [...this.#listeners, mine]
      return () => this.#unlisten(mine)
    }

    #unlisten (gone) {
      if (!this.#listeners.includes(gone)) return
      this.#listeners = this.#listeners.filter((other) => other !== gone)
      if (this.#listeners.length > 0) return
      binding.unlisten(this.#handle)
      this.#site = this.#unheard
      if (this.#site === inert) place(this)
    }

    static {
      own = (probe) => {
        if (typeof probe !== 'function' || !(#site in probe)) throw new TypeError('Must give probe as argument')
        return { name: probe.#name, handle: probe.#handle }
      }

      // Once published the site stays where it is, until the probe is removed; while the provider is disabled it
      // is that of a probe which is not traced. True if it is published, and not listened to: who listens hides it.
      place = (probe) => {
        if (probe.#listeners.length > 0) return false
        const site = binding.site(probe.#handle)
        if (site !== undefined) probe.#site = site === null ? ask : new Uint32Array(site)
        return site !== undefined
      }

      remove = (probe, reason) => {
        for (const listener of probe.#listeners) probe.#unlisten(listener)
        probe.#site = inert
        probe.#reason = reason
      }

      fire = (probe, callback, args) => {
        if (probe.#site[0] !== PRISTINE) probe.#fired(callback, ...args)
      }
    }
  }

  return class DTraceProvider {
    #handle
    #reason
    #enabled = false
    #probes = new Map() // by name: { probe, types }
    #unpublished = new Set()

    constructor (name, module) {
      if (typeof name !== 'string') throw new TypeError('Must give provider name as argument')
      if (arguments.length > 2) throw new Error('Expected only provider name and module as arguments')
      if (arguments.length === 2 && typeof module !== 'string') throw new TypeError('Must give module name as argument')
      const made = binding.provider(name, module)
      if (typeof made === 'string') this.#reason = made
      else this.#handle = made
    }

    addProbe (name, ...types) {
      name = String(name)
      types = types.map(String)
      const before = this.#probes.get(name)
      if (before !== undefined) {
        if (String(before.types) === String(types)) return before.probe
        this.removeProbe(before.probe)
      }
      const numbers = types.map((type) => kinds.indexOf(kindOf(type)))
      const made = this.#handle && binding.probe(this.#handle, name, ...numbers)
      const refused = typeof made === 'string'
      const probe = new DTraceProbe(this, name, types, refused ? undefined : made, refused ? made : undefined)
      this.#probes.set(name, { probe, types })
      Object.defineProperty(this, name, { value: probe, writable: true, enumerable: true, configurable: true })
      if (made !== undefined && !refused) this.#unpublished.add(probe)
      if (this.#enabled) this.#publish()
      return probe
    }

    removeProbe (probe) {
      const { name, handle } = own(probe)
      const mine = this.#probes.get(name)?.probe === probe
      const why = this.#handle && handle ? binding.remove(this.#handle, handle)
        : mine ? undefined : `no probe "${name}"`
      if (why !== undefined) throw new Error(why)
      remove(probe, 'removed')
      this.#probes.delete(name)
      this.#unpublished.delete(probe)
      delete this[name]
      return true
    }

    enable () {
      if (this.#handle === undefined) return
      if (this.#probes.size === 0) throw new Error('no probes defined')
      this.#enabled = true
      this.#publish()
    }

    disable () {
      if (this.#handle === undefined) return
      this.#enabled = false
      const why = binding.disable(this.#handle)
      if (why !== undefined) throw new Error(why)
    }

    fire (name, callback, ...args) {
      if (typeof name !== 'string') throw new TypeError('Must give probe name as first argument')
      if (typeof callback !== 'function') throw new TypeError('Must give probe value callback as second argument')
      const found = this.#probes.get(name)
      if (found === undefined) return undefined
      fire(found.probe, callback, args)
      return true
    }

    get reason () {
      return this.#reason
    }

    #publish () {
      this.#reason = binding.enable(this.#handle)
      for (const probe of this.#unpublished) {
        if (place(probe)) this.#unpublished.delete(probe)
      }
    }
  }
}
