// Garbage collection, threads, and how a process ends.
'use strict'
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { program, root, run } = require('./support')

// The images that a process has mapped which are still files; those of disabled providers are not.
const mapped = `
  const mapped = (name) => new Set(fs.readFileSync('/proc/self/maps', 'utf8').split('\\n')
    .filter((line) => line.includes('/' + name) && !line.endsWith('(deleted)')).map((line) => line.split(' ').pop())).size
  const collect = async () => {
    for (let i = 0; i < 10; i++) { gc(); await new Promise(setImmediate) }
  }`

test('a provider that nobody has is disabled; one whose probe somebody has is not', () => {
  const out = run(mapped + `
    function make (name) {
      const p = usdt.createDTraceProvider(name)
      const probe = p.addProbe('start', 'int')
      p.enable()
      return probe
    }
    (async () => {
      make('nodegone')
      const kept = make('nodekept')
      print(mapped('nodegone'), mapped('nodekept'))
      await collect()
      print(mapped('nodegone'), mapped('nodekept'), kept.fire(() => [1]))
    })()`, '--expose-gc')
  assert.strictEqual(out, '1 1\n0 1 undefined\n')
})

test('a probe keeps its provider, a provider its probes', () => {
  const out = run(mapped + `
    function make () {
      const p = usdt.createDTraceProvider('nodekept')
      p.addProbe('start'); p.addProbe('more'); p.enable()
      delete p.start; delete p.more // fire(name) finds them all the same
      return p.addProbe('last')
    }
    (async () => {
      const probe = make()
      await collect()
      print(mapped('nodekept'), probe.fire(() => 1))
    })()`, '--expose-gc')
  assert.strictEqual(out, '2 undefined\n')
})

test('making and dropping providers, probes that come and go: memory does not grow', () => {
  const out = run(mapped + `
    (async () => {
      const p = usdt.createDTraceProvider('nodegrow')
      p.addProbe('stays'); p.enable()
      const drop = () => {
        const q = usdt.createDTraceProvider('nodedropped')
        q.addProbe('start', 'int', 'char *', 'json')
        q.enable()
      }
      const rounds = async (count) => {
        for (let i = 0; i < count; i++) {
          drop()
          p.removeProbe(p.addProbe('comes'))
          p.disable(); p.enable()
          if (i % 50 === 0) await collect()
        }
        await collect()
        return process.memoryUsage().rss
      }
      await rounds(500)
      const before = await rounds(500)
      const after = await rounds(1500)
      print((after - before) / 2 ** 20, mapped('nodegrow'), mapped('nodedropped'))
    })()`, '--expose-gc')
  const [grown, ...files] = out.trim().split(' ').map(Number)
  assert.ok(grown < 8, `${grown} MB`)
  assert.deepStrictEqual(files, [1, 0])
})

test('worker threads each have providers, which go with them; the binding is not unloaded', () => {
  const out = run(mapped + `
    const { Worker } = require('worker_threads')
    const code = 'const usdt = require(' + JSON.stringify(${JSON.stringify(root)}) + \`)
      const p = usdt.createDTraceProvider('nodeworker')
      const probe = p.addProbe('start', 'int')
      p.enable()
      const { parentPort } = require('worker_threads')
      parentPort.on('message', () => process.exit()).postMessage([usdt.available, probe.fire(() => [1])])\`
    const start = () => new Promise((resolve) => {
      const worker = new Worker(code, { eval: true })
      worker.on('message', (message) => resolve({ worker, message }))
    })
    ;(async () => {
      const p = usdt.createDTraceProvider('nodemain')
      p.addProbe('start'); p.enable()
      for (let round = 0; round < 5; round++) {
        const workers = await Promise.all([start(), start(), start()])
        const up = mapped('nodeworker')
        await Promise.all(workers.map(({ worker }, i) => {
          const gone = new Promise((resolve) => worker.on('exit', resolve))
          if (i === 0) worker.terminate(); else worker.postMessage('exit')
          return gone
        }))
        print(JSON.stringify(workers.map(({ message }) => message)), up, mapped('nodeworker'), mapped('nodemain'))
      }
    })()`)
  assert.strictEqual(out, '[[true,null],[true,null],[true,null]] 1 0 1\n'.repeat(5))
})

const ends = {
  'the end of the program': '',
  'process.exit()': 'process.exit()',
  'process.exit() in an exit handler': "process.on('exit', () => { p.fire('start', () => 1); process.exit() })",
  'an exception': "throw new Error('thrown')",
  'a rejection': "Promise.reject(new Error('rejected'))",
  'process.exit() while worker threads have providers': `
    const { Worker } = require('worker_threads')
    let up = 0
    for (let i = 0; i < 3; i++) {
      new Worker('const p = require(' + JSON.stringify(${JSON.stringify(root)}) + ').createDTraceProvider("nodeend");' +
        'p.addProbe("w"); p.enable(); setInterval(() => {}, 1000); require("worker_threads").parentPort.postMessage(1)',
      { eval: true })
        .on('message', () => { if (++up === 3) process.exit() })
    }`,
  'process.exit() in a worker thread': `
    const { Worker } = require('worker_threads')
    new Worker('const p = require(' + JSON.stringify(${JSON.stringify(root)}) + ').createDTraceProvider("nodeend");' +
      'p.addProbe("w"); p.enable(); process.exit()', { eval: true })`
}
for (const [name, code] of Object.entries(ends)) {
  test(`${name} leaves no file, and nothing keeps the process alive`, async (t) => {
    const child = program(t, `
      const p = usdt.createDTraceProvider('nodeend')
      p.addProbe('start'); p.addProbe('only' + process.pid); p.enable() // a file of its own
      print(fs.readFileSync('/proc/self/maps', 'utf8').match(/\\/\\S*nodeend-\\w+\\.so/)[0])
      ${code}`)
    assert.strictEqual(await child.ended, /exception|rejection/.test(name) ? 1 : 0, child.output)
    const file = child.output.split('\n')[0]
    assert.match(file, /nodeend-/)
    assert.strictEqual(fs.existsSync(file), false)
  })
}

test('10,000 probes', () => {
  const out = run(`
    const p = usdt.createDTraceProvider('nodemany')
    const probes = Array.from({ length: 10000 }, (_, i) => p.addProbe('probe_' + i, 'int'))
    p.enable()
    print(p.reason, probes.every((probe) => probe.fire(() => [1]) === undefined && probe.reason === undefined))`)
  assert.strictEqual(out, 'undefined true\n')
})
