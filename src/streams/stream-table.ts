/**
 * The streams of a partition in memory, twice: as apply has left them, and as readers may see them. Readers see a stream
 * only as of the last `publish`, because before it the effects are not in the store.
 */
import { LogboomError } from '../base/errors.js';
import { asSeq } from '../base/ids.js';
import type { StateTransaction } from '../base/state-machine.js';
import { forkSeqOf } from './fork.js';
import { encodeStreamValue } from './index-values.js';
import type { StreamValue } from './index-values.js';
import { streamKey } from './keys.js';
import type { StreamView } from './types.js';

/** A stream as apply sees and changes it. */
export type StreamState = { -readonly [Field in keyof StreamValue]: StreamValue[Field] } & { readonly id: number };

export class StreamTable {
  readonly #applyingById = new Map<number, StreamState>();
  readonly #applyingByName = new Map<string, StreamState>();
  readonly #changed = new Set<number>();
  readonly #publishedById = new Map<number, StreamView>();
  readonly #publishedByName = new Map<string, StreamView>();
  /** Published names, ascending by UTF-16 code units; undefined: to be sorted anew. */
  #sortedNames: string[] | undefined = [];

  // Apply's side.

  get applyingCount(): number {
    return this.#applyingById.size;
  }

  applyingById(id: number): StreamState | undefined {
    return this.#applyingById.get(id);
  }

  applyingByName(name: string): StreamState | undefined {
    return this.#applyingByName.get(name);
  }

  add(state: StreamState): void {
    this.#applyingById.set(state.id, state);
    this.#applyingByName.set(state.name, state);
    this.#changed.add(state.id);
  }

  remove(state: StreamState): void {
    this.#applyingById.delete(state.id);
    this.#applyingByName.delete(state.name);
    this.#changed.add(state.id);
  }

  /** Notes a change that readers are to see after the next `publish`. */
  changed(state: StreamState): void {
    this.#changed.add(state.id);
  }

  /** Notes a change and stores the stream. */
  store(state: StreamState, transaction: StateTransaction): void {
    this.#changed.add(state.id);
    transaction.putIndex(streamKey(state.id), encodeStreamValue(state));
  }

  // Readers' side.

  /** Shows readers what apply has done; answers the ids of the streams that changed. */
  publish(): number[] {
    const ids = this.#show();
    this.#changed.clear();
    return ids;
  }

  /** After a load: shows what was loaded at once, and leaves it to the next `publish` to tell who waits for news. */
  publishLoaded(): void {
    this.#show();
  }

  #show(): number[] {
    const ids = [...this.#changed];
    for (const id of ids) {
      const state = this.#applyingById.get(id);
      if (state === undefined) this.#unpublish(id);
      else this.#publish(state);
    }
    return ids;
  }

  byId(id: number): StreamView | undefined {
    return this.#publishedById.get(id);
  }

  byName(name: string): StreamView | undefined {
    return this.#publishedByName.get(name);
  }

  get count(): number {
    return this.#publishedById.size;
  }

  views(): Iterable<StreamView> {
    return this.#publishedById.values();
  }

  /** Sorted by UTF-16 code units, the order of `<`. Sorted at the first call after streams came or went. */
  sortedNames(): readonly string[] {
    this.#sortedNames ??= [...this.#publishedByName.keys()].sort();
    return this.#sortedNames;
  }

  clear(): void {
    this.#applyingById.clear();
    this.#applyingByName.clear();
    // Readers hear of streams that a reopened store does not have (yet).
    for (const id of this.#publishedById.keys()) this.#changed.add(id);
  }

  #publish(state: StreamState): void {
    const view = viewOf(state);
    if (!this.#publishedByName.has(view.name)) this.#sortedNames = undefined;
    this.#publishedById.set(view.id, view);
    this.#publishedByName.set(view.name, view);
  }

  #unpublish(id: number): void {
    const view = this.#publishedById.get(id);
    if (view === undefined) return;
    this.#publishedById.delete(id);
    // A stream created under the same name since is another one, in whatever order the two are shown.
    if (this.#publishedByName.get(view.name) !== view) return;
    this.#publishedByName.delete(view.name);
    this.#sortedNames = undefined;
  }
}

export function viewOf(state: StreamState): StreamView {
  return {
    id: state.id,
    name: state.name,
    epoch: state.epoch,
    forks: state.forks,
    config: state.config,
    fencingToken: state.fencingToken,
    firstSeq: asSeq(state.firstSeq),
    nextSeq: asSeq(state.nextSeq),
    storedBytes: state.bytesThrough - state.bytesBefore,
    createdMs: state.createdMs,
    lastAppendMs: state.lastAppendMs,
    producerCount: state.producerCount,
  };
}

/** Where streams are looked up; the state machine is one. */
export interface StreamLookup {
  streamByName(name: string): StreamView | undefined;
  streamById(id: number): StreamView | undefined;
}

/** @throws LogboomError STREAM_NOT_FOUND */
export function requireStream(streams: StreamLookup, name: string): StreamView {
  const stream = streams.streamByName(name);
  if (stream !== undefined) return stream;
  throw new LogboomError('STREAM_NOT_FOUND', `There is no stream ${JSON.stringify(name)}; create it first.`, {
    facts: { stream: name },
  });
}

/** @throws LogboomError STREAM_EPOCH_MISMATCH */
export function requireEpoch(stream: StreamView, expectedEpoch: number | undefined): void {
  if (expectedEpoch === undefined || expectedEpoch === stream.epoch) return;
  throw otherEpoch(stream, `expected was ${expectedEpoch}`, expectedEpoch);
}

/** The caller has seen another stream of this name, or this one before it was restored. */
export function otherEpoch(
  stream: Pick<StreamView, 'name' | 'epoch' | 'firstSeq' | 'nextSeq' | 'forks'>,
  problem: string,
  epoch: number,
): LogboomError {
  const forkSeq = forkSeqOf(stream, epoch);
  const restored =
    forkSeq === undefined
      ? ''
      : ` It was restored from a snapshot: of epoch ${epoch}, the records below seq ${forkSeq} are there, and what came after them was lost.`;
  return new LogboomError(
    'STREAM_EPOCH_MISMATCH',
    `Stream ${JSON.stringify(stream.name)} has epoch ${stream.epoch}, ${problem}.${restored}`,
    {
      facts: {
        stream_epoch: stream.epoch,
        first_seq: stream.firstSeq,
        next_seq: stream.nextSeq,
        ...(forkSeq === undefined ? {} : { fork_seq: forkSeq }),
      },
    },
  );
}
