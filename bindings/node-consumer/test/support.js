// The package on a fake libdtrace, and D programs for it: fake_libdtrace.c says what they are made of.
'use strict'
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')

const root = path.join(__dirname, '..')
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'usdt-consumer-'))
test.after(() => fs.rmSync(temporary, { recursive: true }))

function fake (classic) {
  const library = path.join(temporary, `libdtrace-${classic ? 'classic' : 'linux'}.so`)
  const [cc, ...flags] = (process.env.CC || 'cc').split(' ')
  execFileSync(cc, [...flags, '-std=gnu11', '-shared', '-fPIC', ...(classic ? ['-DCLASSIC'] : []), '-o', library,
    path.join(__dirname, 'fake_libdtrace.c')])
  return library
}

// The package, in this process.
function load (classic) {
  process.env.USDT_LIBDTRACE = fake(classic)
  return require('..')
}

// A process with the package as `dtrace`, once(), and a function opened(program).
function run (library, code, { flags = [], env = {} } = {}) {
  const prelude = `const dtrace = require(${JSON.stringify(root)}), { once } = require('events'), fs = require('fs')
    const print = (...words) => fs.writeSync(1, words.map(String).join(' ') + '\\n')
    async function opened (program) {
      const consumer = dtrace.createConsumer()
      await once(consumer, 'ready')
      if (program) { await consumer.strcompile(program); await consumer.go() }
      return consumer
    };`
  return spawnSync(process.execPath, [...flags, '-e', prelude + code],
    { encoding: 'utf8', env: { ...process.env, USDT_LIBDTRACE: library, ...env }, timeout: 60000 })
}

const action = { expression: 1, exit: 2, print: 8, tracemem: 6, ustack: 0x101, usym: 0x103, umod: 0x104, uaddr: 0x105,
  stack: 0x401, sym: 0x402, mod: 0x403 }
const words = (...values) => Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer).toString('hex')
const record = (name, size, arg, hex) => `record ${action[name].toString(16)} ${size} ${arg} ${hex}\n`
const key = (name, size, arg, hex) => `key ${action[name].toString(16)} ${size} ${arg} ${hex}\n`
const text = (string) => Buffer.from(string).toString('hex')
const integer = (value, size, isSigned = true) =>
  record('expression', size, isSigned ? 1 : 0, words(BigInt.asIntN(64, BigInt(value))).slice(0, 2 * size))
const string = (value, size = 256) => record('expression', size, 4, text(value))
const probe = (name) => `probe prov mod fun ${name}\n`

module.exports = { fake, integer, key, load, probe, record, root, run, string, temporary, text, words }
