// What libdtrace.c puts out, as JavaScript values; the ranges of the quantizing aggregations. All little-endian.
'use strict'

// In the order of libdtrace.h.
const [PROBE, SIGNED, UNSIGNED, STRING, BYTES, FRAMES, END, AGGREGATION, RESULT, DROP, FAULT, FAILED, DONE] =
  Array(13).keys()
// In the order of dtrace_dropkind_t.
const drops = ['principal', 'aggregation', 'dynamic', 'dynrinse', 'dyndirty', 'spec', 'specbusy', 'specunavail',
  'stkstroverflow', 'dblerror']
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

// A number if it is exact, else a BigInt.
const exact = (value) =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

const signed = (bytes) => bytes.length === 8 ? exact(bytes.readBigInt64LE()) : bytes.readIntLE(0, bytes.length)
const unsigned = (bytes) => bytes.length === 8 ? exact(bytes.readBigUInt64LE()) : bytes.readUIntLE(0, bytes.length)

function numbers (bytes, count = bytes.length >> 3) {
  return Array.from({ length: count }, (_, i) => bytes.readBigInt64LE(8 * i))
}

// ---- aggregations: arrays of BigInts, and what the values are divided by ----

// [[[min, max], count], ...], from the first bucket that is not empty to the last.
function distribution (counts, ranges, normal) {
  const used = ranges.map(([index]) => counts[index] !== 0n)
  return ranges.slice(used.indexOf(true) < 0 ? ranges.length : used.indexOf(true), used.lastIndexOf(true) + 1)
    .map(([index, min, max]) => [[exact(min), exact(max)], exact(counts[index] / normal)])
}

function quantize (counts, parameters, normal) {
  const zero = counts.length >> 1
  const positive = Array.from({ length: zero }, (_, i) => [i, 1n << BigInt(i), (2n << BigInt(i)) - 1n])
  return distribution(counts, [
    ...positive.map(([i, min, max]) => [zero - 1 - i, i === zero - 1 ? INT64_MIN : -max, -min]).reverse(),
    [zero, 0n, 0n],
    ...positive.map(([i, min, max]) => [zero + 1 + i, min, max])
  ], normal)
}

// Parameters: step, 16 bits; levels, 16; base, 32, signed.
function lquantize (counts, parameters, normal) {
  const step = parameters >> 48n
  const base = BigInt.asIntN(32, parameters)
  return distribution(counts, counts.map((_, i) => [i,
    i === 0 ? INT64_MIN : base + BigInt(i - 1) * step,
    i === counts.length - 1 ? INT64_MAX : base + BigInt(i) * step - 1n]), normal)
}

const field = (parameters, shift) => parameters >> shift & 0xffffn

// Linux. Parameters: steps, highest and lowest magnitude, factor. The buckets of negative values, of those too small,
// of positive ones; a magnitude has its steps but for those below it.
function llquantize (counts, parameters, normal) {
  const [steps, high, low, factor] = [48n, 32n, 16n, 0n].map((shift) => field(parameters, shift))
  const zero = counts.length >> 1
  const positive = []
  let bucket = 1
  for (let magnitude = low; magnitude <= high; magnitude++) {
    const least = factor ** magnitude
    for (let n = steps / factor; n < steps; n++, bucket++) {
      // Bucket n begins at n * factor^(magnitude + 1) / steps; if that is no integer some have no values.
      const from = (n * least * factor + steps - 1n) / steps
      const to = ((n + 1n) * least * factor + steps - 1n) / steps - 1n
      if (from <= to) positive.push([bucket, from < least ? least : from, to])
    }
  }
  positive.push([bucket, factor ** (high + 1n), INT64_MAX])
  return distribution(counts, [
    ...positive.map(([i, min, max]) => [zero - i, max === INT64_MAX ? INT64_MIN : -max, -min]).reverse(),
    [zero, 1n - factor ** low, factor ** low - 1n],
    ...positive.map(([i, min, max]) => [zero + i, min, max])
  ], normal)
}

// illumos, FreeBSD. Parameters: factor, lowest and highest magnitude, steps. No buckets of negative values.
function llquantizeClassic (counts, parameters, normal) {
  const [factor, low, high, steps] = [48n, 32n, 16n, 0n].map((shift) => field(parameters, shift))
  let value = factor ** low
  const ranges = [[0, INT64_MIN, value - 1n]]
  for (let magnitude = low; magnitude <= high; magnitude++) {
    const next = value * factor
    const step = next > steps ? next / steps : 1n
    for (; value < next; value += step) ranges.push([ranges.length, value, value + step - 1n])
    value = next
  }
  ranges.push([ranges.length, value, INT64_MAX])
  return distribution(counts, ranges, normal)
}

// Count, sum, and 128 bits of the sum of squares.
function stddev ([count, sum, low, high], parameters, normal) {
  if (count === 0n) return 0
  const squares = (high << 64n) + BigInt.asUintN(64, low)
  return Math.sqrt(Number(count * squares - sum * sum)) / Number(count) / Number(normal)
}

const one = ([value], parameters, normal) => exact(value / normal)
const avg = ([count, sum], parameters, normal) => count === 0n ? 0 : Number(sum) / Number(count) / Number(normal)

// In the order of libdtrace.c.
const results = [undefined, one, one, one, avg, one, stddev, quantize, lquantize, llquantize]

function result (bytes) {
  const [kind, classic] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
  const [parameters, normal] = [bytes.readBigUInt64LE(8), bytes.readBigInt64LE(16) || 1n]
  const read = kind === 9 && classic ? llquantizeClassic : results[kind]
  if (read === undefined) return bytes.subarray(24)
  return read(numbers(bytes.subarray(24)), parameters, normal)
}

// ---- the whole ----

function value (tag, bytes) {
  switch (tag) {
    case SIGNED: return signed(bytes)
    case UNSIGNED: return unsigned(bytes)
    case STRING: return bytes.toString()
    case BYTES: return Buffer.from(bytes)
    case FRAMES: return bytes.toString().split('\n').slice(0, -1)
  }
}

function probeOf (bytes) {
  const [provider, module, func, name] = bytes.toString().split('\0')
  return { provider, module, function: func, func, name }
}

// What there is: records, [probe, { data }] or [probe, undefined] at the end of each firing; aggregations, [varid, key,
// value]; drops and faults; an error's message; whether the program has called exit(), or tracing stopped otherwise.
function decode (buffer) {
  const out = { records: [], aggregations: [], drops: [], faults: [], error: undefined, done: false }
  let probe, aggregation
  for (let at = 0; at < buffer.length;) {
    const tag = buffer.readUInt32LE(at)
    const bytes = buffer.subarray(at + 8, at + 8 + buffer.readUInt32LE(at + 4))
    at += 8 + bytes.length
    switch (tag) {
      case PROBE:
        probe = probeOf(bytes)
        aggregation = undefined
        break
      case END:
        out.records.push([probe, undefined])
        break
      case AGGREGATION:
        aggregation = [bytes.readUInt32LE(), [], undefined]
        out.aggregations.push(aggregation)
        break
      case RESULT:
        aggregation[2] = result(bytes)
        aggregation = undefined
        break
      case DROP: {
        const [kind, cpu, count, total] = numbers(bytes, 4).map(exact)
        const message = bytes.toString('utf8', 32)
        out.drops.push({ kind: drops[kind] ?? String(kind), cpu, drops: count, total, message })
        break
      }
      case FAULT: {
        const fault = new Error(bytes.toString('utf8', 24).trim())
        const [number, cpu] = numbers(bytes, 2).map(exact)
        out.faults.push(Object.assign(fault, { probe, fault: number, cpu, address: exact(bytes.readBigUInt64LE(16)) }))
        break
      }
      case FAILED:
        out.error ??= bytes.toString().trim()
        break
      case DONE:
        out.done = true
        break
      default:
        if (aggregation) aggregation[1].push(value(tag, bytes))
        else out.records.push([probe, { data: value(tag, bytes) }])
    }
  }
  return out
}

module.exports = decode
