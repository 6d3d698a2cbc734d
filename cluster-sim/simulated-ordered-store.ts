/**
 * {@link OrderedStore} in memory, with the faults that a database and its disk have, deterministic by its random numbers
 * and clock. It keeps the port's contract as unkindly as the contract allows: what may be lost in a crash is lost at
 * random, what may survive survives at random.
 */
import { assert } from '../src/base/assert.js';
import { type Clock, sleep } from '../src/base/ports/clock.js';
import { nextInteger, type Random } from '../src/base/ports/random.js';
import { keyString } from '../src/state-store/key-strings.js';
import {
  memtableCharge,
  type OrderedStore,
  type OrderedStoreOptions,
  type OrderedStoreProvider,
  type StoreEntry,
  StoreFailure,
  type StoreOperation,
  type StoreRange,
  type StoreSnapshot,
} from '../src/state-store/ordered-store.js';
import { SortedKeys } from '../src/state-store/sorted-keys.js';

export interface SimulatedStoreFaults {
  /** Of 1,000 writes, how many fail. */
  writeFailuresPerMille: number;
  /** Of 1,000 flushes, how many fail; the database then has a background error until it is reopened. */
  flushFailuresPerMille: number;
  writeMsMax: number;
  readMsMax: number;
  flushMsMin: number;
  flushMsMax: number;
  /** A deliberate bug: a database opens with what its own log replays after a power loss, holes and all. */
  keepsLog?: boolean;
}

export const noStoreFaults: SimulatedStoreFaults = {
  writeFailuresPerMille: 0,
  flushFailuresPerMille: 0,
  writeMsMax: 0.2,
  readMsMax: 0.2,
  flushMsMin: 5,
  flushMsMax: 400,
};

/**
 * A copy of the operations of one write. Keys and values are kept as strings of one byte a unit: a string is a good deal
 * less for the garbage collector than a buffer is, and nobody can change it.
 */
interface NamedOperations {
  readonly names: readonly string[];
  /** Undefined of a deletion. */
  readonly values: readonly (string | undefined)[];
}

/** A batch that is not known to be durable, with what it takes to take it back. */
interface Batch {
  readonly operations: NamedOperations;
  /** What each operation replaced; undefined where there was nothing. */
  readonly replaced: (string | undefined)[];
  readonly charge: number;
}

/** A value in its place: replacing it takes one search for the key, not two. */
interface Cell {
  value: string;
}

/**
 * What a directory holds. What a reader of the open database sees is in cells; batches that are not durable are
 * taken back in a crash, which happens far less often than writes do.
 */
class Contents {
  readonly #cells = new Map<string, Cell>();
  readonly #keys = new SortedKeys();
  /** Oldest first. */
  readonly recent: Batch[] = [];

  get(name: string): string | undefined {
    return this.#cells.get(name)?.value;
  }

  /** Names of the range, as {@link OrderedStore.scan} is asked for it. */
  namesIn(from: string, to: string, limit = Number.POSITIVE_INFINITY, reverse = false): string[] {
    return reverse ? this.#keys.reversedRange(from, to, limit) : this.#keys.range(from, to, limit);
  }

  write(operations: NamedOperations, charge: number): void {
    this.recent.push({ operations, replaced: this.#apply(operations), charge });
  }

  /** The `count` oldest recent batches become durable. */
  persist(count: number): void {
    this.recent.splice(0, count);
  }

  /** Takes back what is not durable. Answers the batches, oldest first. */
  forgetRecent(): readonly Batch[] {
    const batches = this.recent.splice(0);
    for (const { operations, replaced } of batches.toReversed()) {
      const { names } = operations;
      for (let at = names.length - 1; at >= 0; at -= 1) this.#set(names[at] as string, replaced[at]);
    }
    return batches;
  }

  /** Durable at once. */
  applyDurably(operations: NamedOperations): void {
    this.#apply(operations);
  }

  /** Damages every version of a value that there is. */
  replaceValue(name: string, damaged: string): void {
    this.#set(name, damaged);
    for (const { operations, replaced } of this.recent) {
      operations.names.forEach((other, at) => {
        if (other === name && replaced[at] !== undefined) replaced[at] = damaged;
      });
    }
  }

  /** Answers what was there before. */
  #apply({ names, values }: NamedOperations): (string | undefined)[] {
    const replaced: (string | undefined)[] = [];
    for (let at = 0; at < names.length; at += 1) replaced.push(this.#set(names[at] as string, values[at]));
    return replaced;
  }

  /** Answers what was there before. */
  #set(name: string, value: string | undefined): string | undefined {
    const cell = this.#cells.get(name);
    if (cell === undefined) {
      if (value === undefined) return undefined;
      this.#cells.set(name, { value });
      this.#keys.add(name);
      return undefined;
    }
    const before = cell.value;
    if (value !== undefined) cell.value = value;
    else {
      this.#cells.delete(name);
      this.#keys.delete(name);
    }
    return before;
  }
}

/** All entries of one moment, in order. */
class View {
  readonly #names: readonly string[];
  readonly #values: readonly string[];

  constructor(contents: Contents) {
    this.#names = contents.namesIn('', endOfNames);
    this.#values = this.#names.map((name) => contents.get(name) as string);
  }

  get(name: string): string | undefined {
    const at = lowerBound(this.#names, name);
    return this.#names[at] === name ? this.#values[at] : undefined;
  }

  namesIn(from: string, to: string, limit: number, reverse: boolean): string[] {
    const [begin, end] = [lowerBound(this.#names, from), lowerBound(this.#names, to)];
    if (end <= begin) return [];
    if (!reverse) return this.#names.slice(begin, Math.min(end, begin + limit));
    return this.#names.slice(Math.max(begin, end - limit), end).reverse();
  }
}

/** Above every string of one byte a unit. */
const endOfNames = '\u0100';

/** One per simulated node: its databases, by directory. They survive `crash`. */
export class SimulatedStoreProvider implements OrderedStoreProvider {
  readonly faults: SimulatedStoreFaults;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #contents = new Map<string, Contents>();
  readonly #open = new Map<string, SimulatedStore>();

  constructor(parts: { clock: Clock; random: Random; faults?: SimulatedStoreFaults }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.faults = parts.faults ?? { ...noStoreFaults };
  }

  /** A name for a database that is made in a directory: the directory, unless there is one of that name, open or not. */
  unusedName(directory: string): string {
    let name = directory;
    for (let again = 2; this.#contents.has(name); again += 1) name = `${directory}~${again}`;
    return name;
  }

  async open(directory: string, options: OrderedStoreOptions): Promise<OrderedStore> {
    if (this.#open.has(directory)) throw new StoreFailure(`${directory} is open already`);
    let contents = this.#contents.get(directory);
    if (contents === undefined) {
      contents = new Contents();
      this.#contents.set(directory, contents);
    }
    const store = new SimulatedStore({
      directory,
      contents,
      options,
      faults: this.faults,
      clock: this.#clock,
      random: this.#random,
      onClose: () => this.#open.delete(directory),
    });
    this.#open.set(directory, store);
    await sleep(this.#clock, this.faults.readMsMax);
    return store;
  }

  /** The process dies, or the power fails: every open database stops in the middle of what it does; nothing of it settles any more. */
  crash(): void {
    for (const store of [...this.#open.values()]) store.crash();
  }

  /** Moves a database, as a restorer does that built it beside its place. */
  rename(from: string, to: string): void {
    const contents = this.#contents.get(from);
    assert(contents !== undefined && !this.#open.has(from), () => `${from} is no closed database`);
    this.#contents.delete(from);
    this.#contents.set(to, contents);
  }

  /** Deletes the closed databases at and below a directory. */
  remove(directory: string): void {
    for (const path of [...this.#contents.keys()]) {
      if (path !== directory && !path.startsWith(`${directory}/`)) continue;
      assert(!this.#open.has(path), () => `${path} is open`);
      this.#contents.delete(path);
    }
  }

  /** Flips a random bit of a random value, of a key from `from` on. @returns the key, or undefined when there is none */
  rot(directory: string, from?: Uint8Array): Uint8Array | undefined {
    const contents = this.#contents.get(directory);
    const first = from === undefined ? '' : keyString(from);
    const names = contents?.namesIn(first, endOfNames) ?? [];
    const name = names[names.length === 0 ? 0 : nextInteger(this.#random, names.length)];
    const sound = name === undefined ? undefined : contents?.get(name);
    if (contents === undefined || name === undefined || sound === undefined || sound.length === 0) return undefined;
    const value = bytesOf(sound);
    const at = nextInteger(this.#random, value.length);
    value[at] = (value[at] ?? 0) ^ (1 << nextInteger(this.#random, 8));
    contents.replaceValue(name, keyString(value));
    return bytesOf(name);
  }
}

interface Parts {
  readonly directory: string;
  readonly contents: Contents;
  readonly options: OrderedStoreOptions;
  readonly faults: SimulatedStoreFaults;
  readonly clock: Clock;
  readonly random: Random;
  readonly onClose: () => void;
}

class SimulatedStore implements OrderedStore {
  readonly #parts: Parts;
  readonly #contents: Contents;
  /** Undefined when no write is under way. */
  #lastWrite: Promise<void> | undefined;
  /** Recent batches at the start of the oldest flush under way; they and later ones may be durable. */
  #flushesUnderWay: { batches: number }[] = [];
  #failed: StoreFailure | undefined;
  #crashed = false;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#contents = parts.contents;
  }

  write(operations: readonly StoreOperation[]): Promise<void> {
    const copy = namedOf(operations);
    const charge = memtableCharge(operations);
    if (this.#writesAtOnce()) {
      this.#contents.write(copy, charge);
      return done;
    }
    const write =
      this.#lastWrite === undefined ? this.#write(copy, charge) : this.#lastWrite.then(() => this.#write(copy, charge));
    const settled = (): void => {
      if (this.#lastWrite === last) this.#lastWrite = undefined;
    };
    const last = write.then(settled, settled);
    this.#lastWrite = last;
    return write;
  }

  /** Nothing is to be waited for, and nothing can go wrong. */
  #writesAtOnce(): boolean {
    const { writeMsMax, writeFailuresPerMille } = this.#parts.faults;
    return (
      writeMsMax === 0 && writeFailuresPerMille === 0 && this.#lastWrite === undefined && this.#failed === undefined
    );
  }

  async #write(operations: NamedOperations, charge: number): Promise<void> {
    const { writeMsMax, writeFailuresPerMille } = this.#parts.faults;
    if (writeMsMax > 0 || this.#crashed) await this.#delay(0, writeMsMax);
    this.#throwFailure();
    if (this.#strikes(writeFailuresPerMille)) throw this.#fail('a write failed');
    this.#contents.write(operations, charge);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#throwClosed();
    return valueIn(this.#contents, key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#throwClosed();
    const values = keys.map((key) => valueIn(this.#contents, key));
    await this.#delay(0, this.#parts.faults.readMsMax);
    return values;
  }

  async scan(range: StoreRange): Promise<StoreEntry[]> {
    this.#throwClosed();
    const entries = scanOf(this.#contents, range);
    await this.#delay(0, this.#parts.faults.readMsMax);
    return entries;
  }

  snapshot(): StoreSnapshot {
    this.#throwClosed();
    const view = new View(this.#contents);
    return {
      get: (key) => valueIn(view, key),
      scan: async (range) => {
        this.#throwClosed();
        const entries = scanOf(view, range);
        await this.#delay(0, this.#parts.faults.readMsMax);
        return entries;
      },
      close: () => Promise.resolve(),
    };
  }

  async flush(): Promise<void> {
    this.#throwFailure();
    const { contents, faults } = this.#parts;
    const underWay = { batches: contents.recent.length };
    this.#flushesUnderWay.push(underWay);
    await this.#delay(faults.flushMsMin, faults.flushMsMax);
    this.#throwFailure();
    if (this.#strikes(faults.flushFailuresPerMille)) throw this.#fail('a flush failed');
    this.#flushesUnderWay.splice(this.#flushesUnderWay.indexOf(underWay), 1);
    const { batches } = underWay;
    contents.persist(batches);
    for (const other of this.#flushesUnderWay) other.batches = Math.max(0, other.batches - batches);
  }

  compactRange(): Promise<void> {
    return this.flush();
  }

  async approximateBytes(from: Uint8Array, to: Uint8Array): Promise<number> {
    this.#throwClosed();
    let bytes = 0;
    for (const name of this.#contents.namesIn(keyString(from), keyString(to)))
      bytes += name.length + (this.#contents.get(name)?.length ?? 0);
    await this.#delay(0, this.#parts.faults.readMsMax);
    return bytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#failed ??= new StoreFailure(`${this.#parts.directory} is closed`);
    await this.#lastWrite;
    await this.#delay(0, this.#parts.faults.readMsMax);
    this.#end();
  }

  crash(): void {
    this.#crashed = true;
    this.#failed ??= new StoreFailure(`${this.#parts.directory} crashed`);
    this.#end();
  }

  /** What is not durable is lost, unless the database may have made it durable by itself. */
  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { contents, options, random } = this.#parts;
    let survivorsMin = contents.recent.length;
    const charge = contents.recent.reduce((sum, batch) => sum + batch.charge, 0);
    if (charge > options.writeBufferBytes) survivorsMin = 0;
    for (const { batches } of this.#flushesUnderWay) survivorsMin = Math.min(survivorsMin, batches);
    const mayPersist = charge > options.writeBufferBytes || this.#flushesUnderWay.length > 0;
    if (mayPersist && nextInteger(random, 2) === 1) {
      contents.persist(survivorsMin + nextInteger(random, contents.recent.length - survivorsMin + 1));
    }
    const lost = contents.forgetRecent();
    if (this.#parts.faults.keepsLog === true) {
      for (const { operations } of lost) if (nextInteger(random, 4) > 0) contents.applyDurably(operations);
    }
    this.#parts.onClose();
  }

  async #delay(msMin: number, msMax: number): Promise<void> {
    const { clock, random } = this.#parts;
    if (msMax > 0) await sleep(clock, msMin + ((msMax - msMin) * nextInteger(random, 1024)) / 1024);
    // A promise of its own: one that all waited for would keep every crashed process of every run in memory.
    if (this.#crashed) await new Promise<never>(() => {});
  }

  #strikes(perMille: number): boolean {
    return perMille > 0 && nextInteger(this.#parts.random, 1000) < perMille;
  }

  #throwFailure(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  #throwClosed(): void {
    if (this.#closed) throw new StoreFailure(`${this.#parts.directory} is closed`);
  }

  #fail(what: string): StoreFailure {
    this.#failed ??= new StoreFailure(`${what} (${this.#parts.directory}, simulated)`);
    return this.#failed;
  }
}

const done = Promise.resolve();

function namedOf(operations: readonly StoreOperation[]): NamedOperations {
  const names: string[] = [];
  const values: (string | undefined)[] = [];
  for (const operation of operations) {
    const { key } = operation;
    assert(key.length > 0 && key[0] !== 0, () => 'a key begins with a byte above 0x00');
    names.push(keyString(key));
    values.push(operation.type === 'put' ? keyString(operation.value) : undefined);
  }
  return { names, values };
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function lowerBound(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] as string) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function valueIn(entries: Contents | View, key: Uint8Array): Uint8Array | undefined {
  const value = entries.get(keyString(key));
  return value === undefined ? undefined : bytesOf(value);
}

function scanOf(entries: Contents | View, { from, to, limit, reverse = false, maxBytes }: StoreRange): StoreEntry[] {
  const bytesMax = maxBytes ?? Number.POSITIVE_INFINITY;
  const found: StoreEntry[] = [];
  let bytes = 0;
  for (const name of entries.namesIn(keyString(from), keyString(to), limit, reverse)) {
    if (bytes >= bytesMax) break;
    const value = entries.get(name);
    if (value === undefined) continue;
    found.push({ key: bytesOf(name), value: bytesOf(value) });
    bytes += name.length + value.length;
  }
  return found;
}
