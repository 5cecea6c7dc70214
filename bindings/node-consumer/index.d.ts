import { EventEmitter } from 'events'

/** A probe that fired; `func` is `function`. */
export interface Probe {
  provider: string
  module: string
  function: string
  func: string
  name: string
}

/** An integer: a bigint where a number would not be exact. */
export type Integer = number | bigint

/**
 * What an action recorded: integers; strings, also of printf(), printa(), print() and of symbols; the frames of stack()
 * and ustack(); the bytes of tracemem().
 */
export type Data = Integer | string | string[] | Buffer

export interface ProbeRecord {
  probe: Probe
  data: Data
}

/** [[minimum, maximum], count], both inclusive, from the first bucket that is not empty to the last. */
export type Distribution = [range: [Integer, Integer], count: Integer][]

/** count(), sum(), min(), max(): an integer; avg(), stddev(): a number; quantize() and the like: a distribution. */
export type AggregationValue = Integer | Distribution

export interface Aggregation {
  /** The number of the variable, in the order of the program, from 1. */
  varid: number
  key: Data[]
  value: AggregationValue
}

export interface Drop {
  kind: 'principal' | 'aggregation' | 'dynamic' | 'dynrinse' | 'dyndirty' | 'spec' | 'specbusy' | 'specunavail'
    | 'stkstroverflow' | 'dblerror' | (string & {})
  cpu: Integer
  /** Since the last one, and in all. */
  drops: Integer
  total: Integer
  message: string
}

/** An error of a clause that ran, as an invalid address. Tracing goes on. */
export interface Fault extends Error {
  probe: Probe
  /** DTRACEFLT_... of <sys/dtrace.h>. */
  fault: Integer
  cpu: Integer
  address: Integer
}

type Callback = (error: Error | null) => void

interface Events {
  ready: []
  error: [Error]
  drop: [Drop]
  fault: [Fault]
}

/**
 * Emits ready or error; then its calls may be made. A second one while strcompile(), go(), stop() or a promise is under
 * way fails with "consumer is busy". What is not allowed is thrown where there is a callback, and rejects where there is
 * none. On Linux a consumer whose strcompile() or go() has failed can only be stopped, and one consumer of a process is
 * enabled at a time.
 */
export class Consumer extends EventEmitter {
  /** Of libdtrace; undefined if there is none. */
  version(): string | undefined
  strcompile(program: string, callback: Callback): void
  strcompile(program: string): Promise<void>
  go(callback: Callback): void
  go(): Promise<void>
  stop(callback: Callback): void
  stop(): Promise<void>
  setopt(option: string, value?: string | number | bigint | boolean): void
  /** Calls back during the call: with each record, and with undefined after the last of each firing of a probe. */
  consume(callback: (probe: Probe, record: { data: Data } | undefined) => void): void
  consume(): Promise<ProbeRecord[]>
  /** Calls back during the call, with each aggregation since the last; these are removed. */
  aggwalk(callback: (varid: number, key: Data[], value: AggregationValue) => void): void
  aggwalk(): Promise<Aggregation[]>
  /** Ends after stop(), with what END recorded, or after the program's exit(). */
  [Symbol.asyncIterator](): AsyncGenerator<ProbeRecord, void, void>
  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this
  once<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this
}

export function createConsumer(): Consumer

/** Whether there is a libdtrace that can be used; if not, every consumer emits error, with the reason. */
export const available: boolean
export const reason: string | undefined
