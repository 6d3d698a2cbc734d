/**
 * An object store behind a network, with what such stores do to their callers: deterministic by its random numbers and
 * clock. A request takes time to get there and its answer takes time to come back; either is lost with its process.
 * Beyond that, `intercept` can make any operation fail, hang, lose its answer, happen late, or answer with what is not
 * true, and stored objects can be damaged and removed.
 *
 * A store outlives the processes that use it: each one `mount`s it, and a crash leaves its operations uncompleted.
 */
import type { Clock } from '../src/base/ports/clock.js';
import { nextInteger, type Random } from '../src/base/ports/random.js';
import { ObjectStoreError, type ObjectStore, type ObjectStoreErrorCode } from '../src/object-store/types.js';
import { MemoryObjectStore } from './memory-object-store.js';

export type ObjectOperationKind = 'put' | 'get' | 'list' | 'delete';

export interface ObjectOperation {
  /** Counts the operations of the store, from 1. */
  readonly number: number;
  readonly kind: ObjectOperationKind;
  /** The prefix of a list, the first name of a deletion. */
  readonly name: string;
  /** Of a put. */
  readonly bytes: number;
}

/** What becomes of an intercepted operation instead. */
export type ObjectFault =
  /** It fails, and nothing was done. */
  | { readonly kind: 'fail'; readonly code: ObjectStoreErrorCode }
  /** It is done, and fails with UNAVAILABLE. */
  | { readonly kind: 'lose-answer' }
  /** It fails with UNAVAILABLE, and is done that much later. */
  | { readonly kind: 'happen-later'; readonly delayMs: number }
  /** It is done that much later, and answered then. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** It never completes; the signal of the caller ends the wait. */
  | { readonly kind: 'hang' }
  /** Another process stores this under the name of the put right before. */
  | { readonly kind: 'lose-race'; readonly content: Uint8Array }
  /** A get answers with one bit inverted, or cut short. What is stored stays as it is. */
  | { readonly kind: 'corrupt' }
  | { readonly kind: 'truncate' }
  /** A get does not find the object; a list leaves one out. */
  | { readonly kind: 'overlook' };

export interface SimulatedObjectStoreOptions {
  /** Either way. */
  readonly networkMsMax: number;
  /** How long the caller waits at most until it takes the store for unavailable. */
  readonly unavailableMsMax: number;
}

export const defaultSimulatedObjectStoreOptions: SimulatedObjectStoreOptions = {
  networkMsMax: 20,
  unavailableMsMax: 2000,
};

export interface MountedObjectStore extends ObjectStore {
  /** The process is gone: what it asked for happens or not, and it is told nothing any more. */
  crash(): void;
}

export class SimulatedObjectStore {
  /** What is stored. */
  readonly contents: MemoryObjectStore;
  /** Asked at the start of every operation. */
  intercept: ((operation: ObjectOperation) => ObjectFault | undefined) | undefined;
  /** While false every request that arrives fails with UNAVAILABLE. */
  available = true;
  /** False makes it a store that lacks put-if-absent: a put replaces what is there and answers `created`. */
  conditional = true;
  /** Multiplies all durations. */
  slowness = 1;
  readonly options: SimulatedObjectStoreOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  #operations = 0;

  /** @param contents of a store that others see as well, each on a way of its own */
  constructor(
    clock: Clock,
    random: Random,
    options: Partial<SimulatedObjectStoreOptions> = {},
    contents = new MemoryObjectStore(() => clock.wallMs(), 'simulated://'),
  ) {
    this.options = { ...defaultSimulatedObjectStoreOptions, ...options };
    this.contents = contents;
    this.#clock = clock;
    this.#random = random;
  }

  get operations(): number {
    return this.#operations;
  }

  /**
   * The store as one process sees it.
   *
   * @param inProcess runs what the process is to hear: later, when it stands still
   */
  mount(inProcess: (callback: () => void) => void = (callback) => callback()): MountedObjectStore {
    const life = { over: false, inProcess };
    const { contents } = this;
    return {
      description: contents.description,
      putIfAbsent: (name, parts, { signal } = {}) => {
        const copies = parts.map((part) => Uint8Array.from(part));
        const bytes = copies.reduce((sum, { length }) => sum + length, 0);
        return this.#operation({ life, signal, kind: 'put', name, bytes }, () => this.#put(name, copies));
      },
      get: (name, { signal, bytesMax }) =>
        this.#operation({ life, signal, kind: 'get', name }, (fault) => this.#get(name, bytesMax, fault)),
      list: (prefix, { signal, ...request }) =>
        this.#operation({ life, signal, kind: 'list', name: prefix }, async (fault) => {
          const entries = await contents.list(prefix, request);
          if (fault?.kind === 'overlook' && entries.length > 0)
            entries.splice(nextInteger(this.#random, entries.length), 1);
          return entries;
        }),
      delete: (names, { signal } = {}) =>
        this.#operation({ life, signal, kind: 'delete', name: names[0] ?? '' }, () => contents.delete(names)),
      close: () => Promise.resolve(),
      crash: () => {
        life.over = true;
      },
    };
  }

  /** Inverts a bit of what is stored. */
  flipBit(name: string, offset: number, bit: number): void {
    const { bytes, modifiedUnixMs } = this.#object(name);
    this.contents.objects.set(name, { bytes: withBitFlipped(bytes, offset, bit), modifiedUnixMs });
  }

  /** Takes an object away behind everybody's back. */
  removeNow(name: string): void {
    this.#object(name);
    this.contents.objects.delete(name);
  }

  #object(name: string): { readonly bytes: Uint8Array; readonly modifiedUnixMs: number } {
    const object = this.contents.objects.get(name);
    if (object === undefined) throw new Error(`there is no object ${name}`);
    return object;
  }

  async #put(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    if (this.conditional || !this.contents.objects.has(name)) return this.contents.putIfAbsent(name, parts);
    this.contents.put(name, parts);
    return 'created';
  }

  async #get(name: string, bytesMax: number, fault: ObjectFault | undefined): Promise<Uint8Array> {
    if (fault?.kind === 'overlook') throw new ObjectStoreError('NOT_FOUND', `There is no object ${name} (simulated).`);
    const bytes = await this.contents.get(name, { bytesMax });
    if (bytes.length === 0) return bytes;
    if (fault?.kind === 'truncate') return bytes.subarray(0, nextInteger(this.#random, bytes.length));
    if (fault?.kind !== 'corrupt') return bytes;
    return withBitFlipped(bytes, nextInteger(this.#random, bytes.length), nextInteger(this.#random, 8));
  }

  /** The request arrives after one timer, its answer after another. */
  #operation<Result>(request: Request, run: (fault: ObjectFault | undefined) => Promise<Result>): Promise<Result> {
    const { life, signal, kind, name, bytes = 0 } = request;
    if (life.over) return new Promise(() => {});
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const fault = this.intercept?.({ number: ++this.#operations, kind, name, bytes });
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void, delayMs: number): void => {
        this.#clock.setTimer(delayMs, () => {
          signal?.removeEventListener('abort', onAbort);
          if (!life.over) life.inProcess(settle);
        });
      };
      const onAbort = (): void => {
        if (!life.over) reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      if (fault?.kind === 'hang') return;
      const delayMs = fault?.kind === 'delay' ? fault.delayMs : 0;
      this.#clock.setTimer(delayMs + this.#networkMs(), () => {
        // Of a process that has died meanwhile the request may have got out or not.
        if (life.over && nextInteger(this.#random, 2) === 0) return;
        this.#arrive(name, fault, run).then(
          (result) => answer(() => resolve(result), this.#networkMs()),
          (error: Error) => answer(() => reject(error), this.available ? this.#networkMs() : this.#giveUpMs()),
        );
      });
    });
  }

  async #arrive<Result>(
    name: string,
    fault: ObjectFault | undefined,
    run: (fault: ObjectFault | undefined) => Promise<Result>,
  ): Promise<Result> {
    if (!this.available) throw new ObjectStoreError('UNAVAILABLE', 'The store is not reached (simulated).');
    if (fault?.kind === 'fail') throw new ObjectStoreError(fault.code, `${name}: simulated.`);
    if (fault?.kind === 'happen-later') this.#clock.setTimer(fault.delayMs, () => void run(undefined).catch(() => {}));
    else {
      if (fault?.kind === 'lose-race') await this.contents.putIfAbsent(name, [fault.content]);
      const result = await run(fault);
      if (fault?.kind !== 'lose-answer') return result;
    }
    throw new ObjectStoreError('UNAVAILABLE', `${name}: no answer (simulated).`);
  }

  #networkMs(): number {
    return this.#durationMs(this.options.networkMsMax);
  }

  #giveUpMs(): number {
    return this.#durationMs(this.options.unavailableMsMax);
  }

  #durationMs(max: number): number {
    return (this.slowness * max * (1 + nextInteger(this.#random, 1000))) / 1000;
  }
}

interface Request {
  readonly life: { readonly over: boolean; readonly inProcess: (callback: () => void) => void };
  readonly signal: AbortSignal | undefined;
  readonly kind: ObjectOperationKind;
  readonly name: string;
  readonly bytes?: number;
}

function withBitFlipped(bytes: Uint8Array, offset: number, bit: number): Uint8Array {
  const damaged = Uint8Array.from(bytes);
  damaged[offset] = (damaged[offset] as number) ^ (1 << bit);
  return damaged;
}
