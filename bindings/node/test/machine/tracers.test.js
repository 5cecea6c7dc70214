// What tracers see that this machine may not have: run by tests/vm/node.t in an emulated one.
'use strict'
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { bpftrace, start, until } = require('../support')

const args = (count) => Array.from({ length: count }, (_, i) => `arg${i}`).join(', ')
const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1).join(' ')

const rest = ['nodelive: 7', 'nodeagain: 9', 'nodetwice: 0', 'nodetwice: 1', 'nodethread: 10']

async function subject (t) {
  const traced = start(t, process.execPath, ['--expose-gc', path.join(__dirname, 'subject.js')])
  await traced.prints('^ready$')
  return traced
}

// The lines that there must be, and no others; then untraced, the program is as it was.
async function sees (traced, tracer, lines) {
  for (const line of lines) await tracer.prints(`^${line.replace(/[[|{}().]/g, '\\$&')}$`)
  const { output } = tracer
  await tracer.stop()
  await traced.prints('^fire undefined$')
  assert.match(traced.output, /^ready\nfire true\nfire undefined\n$/)
  const said = output.split('\n').filter((line) => /^(node\w+|values|many|wide|c): /.test(line))
  assert.deepStrictEqual(said.filter((line) => !lines.includes(line)), [])
}

test('bpftrace: int, char *, json, 12 of 32 arguments, all types, what came later, what is there twice',
  async (t) => {
    const traced = await subject(t)
    const tracer = await bpftrace(t, `
      usdt:*:nodelive:values { printf("values: %lld|%s|%s\\n", arg0, str(arg1), str(arg2)); }
      usdt:*:nodelive:many { printf("many: ${Array(12).fill('%d').join(' ')}\\n", ${args(12)}); }
      usdt:*:nodelive:wide { printf("wide: %d %d %lld %llu %llx %d %r\\n", arg0, arg1, arg2, arg3, arg4, arg6,
        buf(arg5, arg6)); }
      usdt:*:nodelive:added { printf("nodelive: %d\\n", arg0); }
      usdt:*:nodeagain:start { printf("nodeagain: %d\\n", arg0); }
      usdt:*:nodetwice:start { printf("nodetwice: %d\\n", arg0); }
      usdt:*:nodethread:start { printf("nodethread: %d\\n", arg0); }`, traced.pid)
    await sees(traced, tracer, ['values: 4503599627370497|héllo|{"a":[1,null,"x"],"b":{"c":1.5}}', `many: ${numbers(12)}`,
      'wide: -1 1 -9223372036854775808 18446744073709551615 bff8000000000000 5 bytes', ...rest])
  })

test('DTrace: int, char *, json, 10 of 32 arguments, all types, what came later, what is there twice, a cluster',
  async (t) => {
    if (!fs.existsSync('/dev/dtrace/helper')) start(t, 'dtprobed', ['-F'])
    await until(() => fs.existsSync('/dev/dtrace/helper'), () => 'dtprobed')
    const traced = await subject(t)
    const tracer = start(t, 'dtrace', ['-q', '-Z', '-x', 'strsize=64', '-n', `
      nodelive*:::values {
        printf("values: %d|%s|%s\\n", arg0, copyinstr(arg1), copyinstr(arg2));
        printf("c: %s\\n", strtok(substr(strstr(copyinstr(arg2), "\\"c\\":"), 4), "}"));
      }
      nodelive*:::many { printf("many: ${Array(10).fill('%d').join(' ')}\\n", ${args(10)}); }
      nodelive*:::wide { printf("wide: %d %d %d %u %x %d %s\\n", (int8_t)arg0, (uint16_t)arg1, (int64_t)arg2,
        (uint64_t)arg3, arg4, arg6, stringof(copyin(arg5, arg6))); }
      nodelive*:::added, nodelive*:::removed, nodeagain*:::, nodetwice*:::, nodecollected*:::, nodethread*:::, nodecluster*:::
      { printf("%s: %d\\n", strtok(probeprov, "0123456789"), arg0); }
      BEGIN { printf("attached\\n"); }`])
    tracer.stop = async () => { tracer.kill('SIGINT'); await tracer.ended }
    await tracer.prints('^attached$')
    await sees(traced, tracer, ['values: 4503599627370497|héllo|{"a":[1,null,"x"],"b":{"c":1.5}}', 'c: 1.5',
      `many: ${numbers(10)}`, 'wide: -1 1 -9223372036854775808 18446744073709551615 bff8000000000000 5 bytes',
      ...rest, ...[0, 1, 2, 3].map((n) => `nodecluster: ${n}`)])
  })
