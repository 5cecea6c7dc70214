// The package on DTrace for Linux: run by tests/vm/consumer.t.
'use strict'
const assert = require('node:assert')
const { fork, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const dtrace = require('../..')
const trial = require('../../trial')

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`

test('the "hello, world" of the manual', () => {
  const { stdout, stderr } = spawnSync(process.execPath, [path.join(__dirname, 'hello.js')], { encoding: 'utf8' })
  assert.match(stdout, /^dtrace version: {2}D \d.*\nconsumer ready, compiling\ncompiled, enabling\nenabled, consuming\nconsume: {2}hello, world\nstopped\n$/, stderr)
})

test('without privileges: the message of the manual', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', `
    require(${JSON.stringify(path.join(__dirname, '..', '..'))}).createConsumer()
      .on('ready', () => console.log('ready')).on('error', ({ message }) => console.log(message))`],
  { encoding: 'utf8', uid: 65534, gid: 65534 })
  assert.strictEqual(stdout, 'DTrace requires additional privileges\n', stderr)
})

test('what a libdtrace of another system is tried with has the results that are expected there', () => trial(600000))

// Everything else in one consumer: to open and to close one takes long under emulation.
test('one process makes probes, another traces them', async (t) => {
  const shop = fork(path.join(__dirname, 'shop.js'))
  t.after(() => shop.kill('SIGKILL'))
  assert.deepStrictEqual(await once(shop, 'message'), ['ready', undefined])
  const orders = Array.from({ length: 60 }, (_, i) => [i % 3 === 1 ? -(i ** 3) : i ** 3, `item ${i % 7}`])

  const gaps = { worst: 0 }
  let before = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    gaps.worst = Math.max(gaps.worst, now - before)
    before = now
  }, 10)
  t.after(() => clearInterval(timer))

  const consumer = dtrace.createConsumer()
  const faults = []
  consumer.on('fault', (fault) => faults.push(fault))
  await once(consumer, 'ready')
  t.diagnostic(`worst gap of a timer of 10 ms while it opened: ${gaps.worst.toFixed(0)} ms`)

  assert.throws(() => consumer.setopt('nonsense', 1), { message: "couldn't set option: Invalid option name" })
  consumer.setopt('quiet', true)
  consumer.setopt('strsize', 64)
  consumer.setopt('aggrate', '10ms')
  gaps.worst = 0
  await consumer.strcompile(`
    shop*:::order {
      trace((int64_t)arg0); trace(copyinstr(arg1));
      @count[copyinstr(arg1)] = count(); @sum = sum((int64_t)arg0); @min = min((int64_t)arg0);
      @max = max((int64_t)arg0); @avg = avg((int64_t)arg0); @stddev = stddev((int64_t)arg0);
      @quantize = quantize((int64_t)arg0); @lquantize = lquantize((int64_t)arg0, -1000, 1000, 500);
      @llquantize = llquantize((int64_t)arg0, 10, 1, 4, 20);
    }`)
  await consumer.strcompile(`
    BEGIN {
      trace((char)-1); trace((unsigned char)255); trace((short)-2); trace((int)-3); trace((unsigned int)0xfffffffd);
      trace((long long)-4); trace(0x7fffffffffffffff); trace((unsigned long long)0xffffffffffffffff);
      trace("text"); printf("%d %s\\n", 5, "five"); tracemem(&\`linux_banner, 5);
      sym((uintptr_t)&\`vfs_read); mod((uintptr_t)&\`vfs_read); ustack(1);
    }
    BEGIN { trace(*(int *)0); }
    syscall::getppid:entry, syscall::gettid:entry { stack(2); }
    END { trace("the end"); }`)
  await consumer.go()
  t.diagnostic(`while a program was compiled and enabled: ${gaps.worst.toFixed(0)} ms`)

  const records = []
  const reading = (async () => { for await (const record of consumer) records.push(record) })()
  const seen = (pick) => records.filter(({ probe }) => pick(probe)).map(({ data }) => data)
  const ordersSeen = () => seen(({ name }) => name === 'order')

  shop.send(orders)
  const [fired] = await once(shop, 'message')
  for (let i = 0; i < 600 && ordersSeen().length < 2 * orders.length; i++) await new Promise((resolve) => setTimeout(resolve, 100))

  await t.test('the values are those that were fired', () => {
    assert.strictEqual(fired.order, orders.length)
    assert.deepStrictEqual(ordersSeen(), orders.flat())
    const { probe } = records.find(({ probe }) => probe.name === 'order')
    assert.strictEqual(probe.provider, `shop${shop.pid}`)
    assert.strictEqual(probe.func, 'order')
  })

  await t.test('records of every kind', () => {
    const begin = seen(({ name }) => name === 'BEGIN')
    const frames = begin.pop()
    assert.deepStrictEqual(begin, [-1, 255, -2, -3, 2 ** 32 - 3, -4, 2n ** 63n - 1n, 2n ** 64n - 1n, 'text', '5 five\n',
      Buffer.from('Linux'), 'vmlinux`vfs_read', 'vmlinux'])
    assert.match(frames.join(), /^libdtrace\.so\S*`BEGIN_probe$/)
    assert.strictEqual(faults.length, 1)
    assert.match(faults[0].message, /invalid address \(0x0\)/)
    assert.strictEqual(faults[0].probe.name, 'BEGIN')
  })

  await t.test('kernel stacks', async () => {
    const stacks = () => seen(({ provider }) => provider === 'syscall')
    for (let i = 0; i < 100 && stacks().length === 0; i++) {
      spawnSync('sh', ['-c', ':']) // calls getppid()
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.match(stacks()[0].join(), /^vmlinux`\w+\+0x[0-9a-f]+,vmlinux`\w+\+0x[0-9a-f]+$/)
  })

  await t.test('aggregations are equal to what the program counted', async () => {
    const found = new Map()
    consumer.aggwalk((varid, key, value) => found.set([varid, ...key].join(), value))
    const amounts = orders.map(([amount]) => amount)
    const sum = amounts.reduce((a, b) => a + b)
    const what = new Map()
    for (const [, item] of orders) what.set(`1,${item}`, (what.get(`1,${item}`) ?? 0) + 1)
    for (const [item, count] of what) assert.strictEqual(found.get(item), count, item)
    assert.strictEqual(found.get('2'), sum)
    assert.strictEqual(found.get('3'), Math.min(...amounts))
    assert.strictEqual(found.get('4'), Math.max(...amounts))
    assert.strictEqual(found.get('5'), sum / orders.length)
    const squares = amounts.reduce((a, b) => a + b * b, 0)
    assert.ok(Math.abs(found.get('6') - Math.sqrt(squares / orders.length - (sum / orders.length) ** 2)) < 1e-6)
    for (const varid of ['7', '8', '9']) {
      const distribution = found.get(varid)
      for (const [[min, max], count] of distribution) {
        assert.strictEqual(count, amounts.filter((n) => n >= min && n <= max).length, `${varid}: ${min} to ${max}`)
      }
      assert.strictEqual(distribution.reduce((total, [, count]) => total + count, 0), orders.length)
    }
    assert.strictEqual(found.size, what.size + 8)
  })

  await t.test('what was walked is removed', async () => {
    await new Promise((resolve) => setTimeout(resolve, 50)) // aggrate
    consumer.aggwalk(() => assert.fail('walked twice'))
    shop.send([[5, 'once more']])
    await once(shop, 'message')
    await new Promise((resolve) => setTimeout(resolve, 50))
    const again = await consumer.aggwalk()
    assert.deepStrictEqual(again.filter(({ varid }) => varid <= 2).sort((a, b) => a.varid - b.varid),
      [{ varid: 1, key: ['once more'], value: 1 }, { varid: 2, key: [], value: 5 }])
  })

  await t.test('stop() ends; the iterator has what END recorded', async () => {
    const start = Date.now()
    await consumer.stop()
    await reading
    assert.deepStrictEqual(seen(({ name }) => name === 'END'), ['the end'])
    t.diagnostic(`it took ${seconds(Date.now() - start)}`)
    shop.send([[6, 'nobody looks']])
    assert.strictEqual((await once(shop, 'message'))[0].order, orders.length + 1)
  })
})

const turns = process.env.USDT_TEST_STRESS ? 200 : 2
test(`${turns} consumers opened and stopped in turn`, async (t) => {
  const start = Date.now()
  const sizes = []
  const count = () => fs.readdirSync('/proc/self/fd').length
  const descriptors = count()
  for (let i = 0; i < turns; i++) {
    const consumer = dtrace.createConsumer()
    await once(consumer, 'ready')
    if (i === 0) {
      await assert.rejects(consumer.strcompile('BEGIN { trace(1); } BEGIN { trace(nonsense); }'),
        { message: /^couldn't compile: .*nonsense/ })
      await assert.rejects(consumer.strcompile('BEGIN { trace(1); }'), { message: /after an error this libdtrace takes nothing more/ })
    } else {
      await consumer.strcompile('BEGIN { trace(1); }')
      await consumer.go()
      assert.deepStrictEqual((await consumer.consume()).map(({ data }) => data), [1])
    }
    await consumer.stop()
    sizes.push(process.memoryUsage().rss / 2 ** 20)
    if (i % 20 === 19) console.error(`# ${i + 1}: ${sizes[i].toFixed(0)} MB`)
  }
  assert.ok(count() <= descriptors, `${descriptors} descriptors, then ${count()}`)
  t.diagnostic(`${seconds((Date.now() - start) / turns)} each; memory after the first, the middle, the last: ` +
    [sizes[0], sizes[turns >> 1], sizes[turns - 1]].map((size) => `${size.toFixed(0)} MB`).join(', '))
  if (turns > 20) assert.ok(sizes[turns - 1] - sizes[20] < 50, `grown by ${sizes[turns - 1] - sizes[20]} MB`)
})
