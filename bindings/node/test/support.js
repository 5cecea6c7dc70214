// Programs with probes, and bpftrace on them. What cannot run here is skipped with the reason; under USDT_TEST_STRICT
// it fails.
'use strict'
const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const root = path.join(__dirname, '..')

function installed (program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}

function cannotTrace () {
  if (process.getuid() !== 0) return 'only root can trace'
  if (!installed('bpftrace')) return 'bpftrace is not installed'
  return ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'].some((dir) => fs.existsSync(`${dir}/uprobe_events`))
    ? '' : 'no uprobe_events: tracefs is not mounted, or the kernel has no uprobes'
}

function unless (why, name, run) {
  test(name, (t) => {
    const reason = why()
    if (reason === '') return run(t)
    if (process.env.USDT_TEST_STRICT) assert.fail(`must not be skipped: ${reason}`)
    t.skip(reason)
  })
}

async function until (condition, what, seconds = 60 * (process.env.USDT_TEST_PATIENCE || 1)) {
  const end = Date.now() + seconds * 1000
  while (!condition()) {
    if (Date.now() > end) assert.fail(`waited ${seconds} s for ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

// A process, and what it prints; killed when the test is over.
function start (t, command, args, options) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  child.output = ''
  child.stdout.on('data', (data) => { child.output += data })
  child.stderr.on('data', (data) => { child.output += data })
  child.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(signal || code)))
  // Waits for lines of the output; it may end with them.
  child.prints = async (pattern, count = 1) => {
    let over = false
    const has = () => (child.output.match(new RegExp(pattern, 'gm')) || []).length >= count
    child.ended.then(() => { over = true })
    await until(() => over || has(), () => `${count} of ${pattern} in:\n${child.output}`)
    assert.ok(has(), `${command} ended without ${count} of ${pattern}:\n${child.output}`)
  }
  t.after(() => child.kill('SIGKILL'))
  return child
}

// JavaScript that has the package as `usdt`, and a function print().
const prelude = `const usdt = require(${JSON.stringify(root)}); const fs = require('fs')
const print = (...words) => fs.writeSync(1, words.map(String).join(' ') + '\\n');`

function program (t, code, ...flags) {
  return start(t, process.execPath, [...flags, '-e', prelude + code])
}

// What such a program prints that ends by itself.
function run (code, ...flags) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, '-e', prelude + code], { encoding: 'utf8' })
  assert.strictEqual(status, 0, stderr)
  return stdout
}

// bpftrace places its probes some time before it records what they say: it says itself when that is.
async function bpftrace (t, script, pid) {
  const tracer = start(t, 'bpftrace', [...(pid ? ['-p', pid] : []), '-e',
    script + ' interval:ms:50 { if (!@on) { printf("attached\\n"); @on = 1; } } END { clear(@on); }'],
  { env: { ...process.env, BPFTRACE_STRLEN: 64, BPFTRACE_MAX_STRLEN: 64 } }) // 0.27's name is the second
  await tracer.prints('^attached$')
  tracer.stop = async () => {
    for (let tries = 0; tries < 4 && tracer.exitCode === null; tries++) {
      tracer.kill('SIGINT')
      await Promise.race([tracer.ended, new Promise((resolve) => setTimeout(resolve, 15000).unref())])
    }
    return tracer.output
  }
  return tracer
}

// The first lines that bpftrace prints of a program: one that prints "ready", and fires again and again.
async function trace (t, code, script, pattern, count = 1) {
  const traced = program(t, code)
  await traced.prints('^ready')
  const tracer = await bpftrace(t, script, traced.pid)
  await tracer.prints(pattern, count)
  await tracer.stop()
  traced.kill()
  return tracer.output.match(new RegExp(pattern, 'gm')).slice(0, count)
}

module.exports = { root, installed, prelude, bpftrace, cannotTrace, program, run, start, trace, unless, until,
  tracing: (name, run) => unless(cannotTrace, name, run) }
