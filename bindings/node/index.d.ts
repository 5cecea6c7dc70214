/**
 * The type of an argument: `int` (64 bits), `char *` and `json` have the meaning of dtrace-provider; a `buffer` becomes
 * two arguments, address and length; a `double` is passed as its bits.
 */
export type ArgumentType =
  | 'int' | 'char *' | 'json' | 'buffer' | 'double'
  | 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64'
  | (string & {})

/**
 * Fires the probe. While it is not traced the callback is not called, and the result is undefined. Else the callback,
 * called with `args` and the probe as `this`, returns an array of the values, and the result is true; undefined if it
 * returns anything else, or throws.
 */
export type Fire = <Args extends unknown[]>(
  callback: (this: DTraceProbe, ...args: Args) => unknown, ...args: Args
) => true | undefined

export interface DTraceProbe extends Fire {
  readonly fire: Fire
  /**
   * Has `listener` called with the values of each hit, in the process itself, whether a tracer is there or not, and
   * the provider is enabled or not. What it returns ends that.
   */
  listen(listener: (this: DTraceProbe, ...values: any[]) => void): () => void
  /** Why no tracer, or not every one, sees the probe; undefined otherwise. */
  readonly reason: string | undefined
}

export class DTraceProvider {
  /** A TypeError if an argument is no string. A name that cannot be had is the provider's `reason`. */
  constructor(name: string, module?: string)
  /**
   * Adds a probe, at once if the provider is enabled, and makes it a property of the provider. A probe of this name is
   * returned if its types are the same, else replaced.
   */
  addProbe(name: string, ...types: ArgumentType[]): DTraceProbe
  /** An Error if the provider does not have the probe. */
  removeProbe(probe: DTraceProbe): true
  /** Publishes the probes. An Error if there are none; where it fails otherwise, `reason` says why. */
  enable(): void
  disable(): void
  /** Fires a probe by its name; undefined if there is none, else true, also where it is not traced. */
  fire<Args extends unknown[]>(
    name: string, callback: (this: DTraceProbe, ...args: Args) => unknown, ...args: Args
  ): true | undefined
  /** Why no tracer, or not every one, sees the probes; undefined otherwise. */
  readonly reason: string | undefined
  /** The probes, by name. */
  [probe: string]: any
}

export function createDTraceProvider(name: string, module?: string): DTraceProvider

/** Whether there is tracing here; without it every call does nothing. */
export const available: boolean
/** Why not. */
export const reason: string | undefined
