/** Files and names of a simulated disk: each as processes see it, and as it would be found after a power loss. */
import { DiskError } from '../src/base/ports/disk.js';
import { nextInteger, type Random } from '../src/base/ports/random.js';

export interface SectorOptions {
  readonly sectorBytes: number;
  readonly tornSectorsPerMille: number;
  /** Told of every sector that is written in part. */
  readonly onTornSector?: () => void;
}

/** Bytes that grow. */
class Content {
  size = 0;
  #bytes = Buffer.alloc(0);

  view(): Buffer {
    return this.#bytes.subarray(0, this.size);
  }

  resize(size: number): void {
    if (size > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(size, 2 * this.#bytes.length));
      this.view().copy(grown);
      this.#bytes = grown;
    } else if (size < this.size) this.#bytes.fill(0, size, this.size);
    this.size = size;
  }

  write(bytes: Uint8Array, position: number): void {
    if (position + bytes.length > this.size) this.resize(position + bytes.length);
    this.#bytes.set(bytes, position);
  }
}

type Change =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number };

/** How unkind one power loss is: the share of sectors in flight that reach the platter. */
const survivalPerMilleChoices = [0, 0, 200, 500, 900, 1000];

export class Inode {
  /** By the clock of the disk; not lost with what was written. */
  modifiedUnixMs: number;
  readonly #seen = new Content();
  readonly #durable = new Content();
  #unsynced: Change[] = [];

  constructor(modifiedUnixMs: number) {
    this.modifiedUnixMs = modifiedUnixMs;
  }

  get size(): number {
    return this.#seen.size;
  }

  get unsyncedBytes(): number {
    return this.#unsynced.reduce((sum, change) => sum + (change.kind === 'write' ? change.bytes.length : 0), 0);
  }

  contents(): Uint8Array {
    return Uint8Array.from(this.#seen.view());
  }

  read(target: Uint8Array, position: number): number {
    const source = this.#seen.view().subarray(position, position + target.length);
    target.set(source);
    return source.length;
  }

  /** The bytes must not change afterwards. */
  write(bytes: Uint8Array, position: number): void {
    this.#seen.write(bytes, position);
    this.#unsynced.push({ kind: 'write', position, bytes });
  }

  truncate(size: number): void {
    this.#seen.resize(size);
    this.#unsynced.push({ kind: 'truncate', size });
  }

  sync(): void {
    for (const change of this.#unsynced) {
      if (change.kind === 'write') this.#durable.write(change.bytes, change.position);
      else this.#durable.resize(change.size);
    }
    this.#unsynced = [];
  }

  /** Some of what was to be synced is, the rest is forgotten: still seen, but never written. */
  failSync(random: Random, options: SectorOptions): void {
    this.#persistSome(random, options);
  }

  powerLoss(random: Random, options: SectorOptions): void {
    this.#persistSome(random, options);
    this.#seen.resize(0);
    this.#seen.write(Uint8Array.from(this.#durable.view()), 0);
  }

  flipBit(offset: number, bit: number): void {
    for (const content of [this.#seen, this.#durable]) {
      const view = content.view();
      if (offset < view.length) view[offset] = (view[offset] as number) ^ (1 << bit);
    }
  }

  #persistSome(random: Random, options: SectorOptions): void {
    const survivalPerMille = survivalPerMilleChoices[nextInteger(random, survivalPerMilleChoices.length)] as number;
    for (const change of this.#unsynced) {
      if (change.kind === 'write') this.#persistSectors(change, survivalPerMille, { random, ...options });
      else if (nextInteger(random, 1000) < survivalPerMille) this.#durable.resize(change.size);
    }
    this.#unsynced = [];
  }

  #persistSectors(
    { bytes, position }: Change & { kind: 'write' },
    survivalPerMille: number,
    { random, sectorBytes, tornSectorsPerMille, onTornSector }: SectorOptions & { readonly random: Random },
  ): void {
    for (let at = 0; at < bytes.length;) {
      const toSectorEnd = sectorBytes - ((position + at) % sectorBytes);
      const sector = bytes.subarray(at, at + toSectorEnd);
      if (nextInteger(random, 1000) < survivalPerMille) {
        const torn = nextInteger(random, 1000) < tornSectorsPerMille;
        const kept = torn ? sector.subarray(0, nextInteger(random, sector.length + 1)) : sector;
        if (kept.length > 0 && kept.length < sector.length) onTornSector?.();
        if (kept.length > 0) this.#durable.write(kept, position + at);
      }
      at += sector.length;
    }
  }
}

type Node = Inode | 'directory';

interface NameChange {
  /** Directories whose sync makes it durable. */
  readonly directories: readonly string[];
  apply(names: Map<string, Node>): void;
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export class Namespace {
  readonly #seen = new Map<string, Node>([['/', 'directory']]);
  readonly #durable = new Map<string, Node>([['/', 'directory']]);
  #unsynced: NameChange[] = [];

  get(path: string): Node | undefined {
    return this.#seen.get(path);
  }

  exists(path: string): boolean {
    return this.#seen.has(path);
  }

  files(): [string, Inode][] {
    return [...this.#seen]
      .filter((named): named is [string, Inode] => named[1] instanceof Inode)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  directories(): string[] {
    return [...this.#seen].filter(([, node]) => node === 'directory').map(([path]) => path);
  }

  children(path: string): string[] {
    return [...this.#seen.keys()]
      .filter((name) => name !== '/' && parentOf(name) === path)
      .map((name) => name.slice(name.lastIndexOf('/') + 1))
      .sort();
  }

  createFile(path: string, nowUnixMs: number): Inode {
    if (this.#seen.has(path)) throw new DiskError('EEXIST', path, 'there is one');
    this.#needParent(path);
    const inode = new Inode(nowUnixMs);
    this.#do({ directories: [parentOf(path)], apply: (names) => names.set(path, inode) });
    return inode;
  }

  makeDirectory(path: string): void {
    const node = this.#seen.get(path);
    if (node === 'directory') return;
    if (node !== undefined) throw new DiskError('EEXIST', path, 'it is a file');
    this.makeDirectory(parentOf(path));
    this.#do({ directories: [parentOf(path)], apply: (names) => names.set(path, 'directory') });
  }

  rename(from: string, to: string): void {
    const node = this.#seen.get(from);
    if (node === undefined) throw new DiskError('ENOENT', from, 'nothing to rename');
    this.#needParent(to);
    const within = [...this.#seen.keys()].filter((path) => path.startsWith(`${from}/`));
    this.#do({
      directories: [parentOf(from), parentOf(to)],
      apply: (names) => {
        if (names.get(from) !== node) return;
        names.delete(from);
        names.set(to, node);
        for (const path of within) {
          const inner = names.get(path);
          if (inner === undefined) continue;
          names.delete(path);
          names.set(to + path.slice(from.length), inner);
        }
      },
    });
  }

  link(from: string, to: string): void {
    const node = this.#seen.get(from);
    if (node === undefined) throw new DiskError('ENOENT', from, 'nothing to link to');
    if (node === 'directory') throw new DiskError('ENOTSUP', from, 'a directory has one name');
    if (this.#seen.has(to)) throw new DiskError('EEXIST', to, 'there is one');
    this.#needParent(to);
    this.#do({ directories: [parentOf(to)], apply: (names) => names.set(to, node) });
  }

  removeFile(path: string): void {
    const node = this.#seen.get(path);
    if (node === undefined) throw new DiskError('ENOENT', path, 'nothing to remove');
    if (node === 'directory') throw new DiskError('EOTHER', path, 'it is a directory');
    this.#remove(path);
  }

  removeTree(path: string): void {
    const inside = [...this.#seen.keys()].filter((name) => name === path || name.startsWith(`${path}/`));
    // With the directory itself, what was in it is gone for good: another one of its name begins empty.
    for (const name of inside.sort().reverse()) this.#remove(name, parentOf(path));
  }

  sync(directory: string): void {
    if (this.#seen.get(directory) !== 'directory') throw new DiskError('ENOENT', directory, 'no such directory');
    const later: NameChange[] = [];
    for (const change of this.#unsynced) {
      if (change.directories.includes(directory)) change.apply(this.#durable);
      else later.push(change);
    }
    this.#unsynced = later;
  }

  /** Of the unsynced changes a prefix survives, as with a journal, or, less kindly, any of them. */
  powerLoss(random: Random, options: SectorOptions): void {
    const prefix = nextInteger(random, 2) === 0 ? nextInteger(random, this.#unsynced.length + 1) : undefined;
    this.#unsynced.forEach((change, index) => {
      const survives = prefix === undefined ? nextInteger(random, 2) === 0 : index < prefix;
      if (survives) change.apply(this.#durable);
    });
    this.#unsynced = [];
    this.#dropOrphans();
    this.#seen.clear();
    for (const [path, node] of this.#durable) this.#seen.set(path, node);
    for (const [, inode] of this.files()) inode.powerLoss(random, options);
  }

  clear(): void {
    for (const names of [this.#seen, this.#durable]) {
      names.clear();
      names.set('/', 'directory');
    }
    this.#unsynced = [];
  }

  putDirectory(path: string): void {
    for (const names of [this.#seen, this.#durable]) names.set(path, 'directory');
  }

  putFile(path: string, content: Uint8Array, nowUnixMs: number): void {
    for (let directory = parentOf(path); directory !== '/'; directory = parentOf(directory))
      this.putDirectory(directory);
    const inode = new Inode(nowUnixMs);
    inode.write(Uint8Array.from(content), 0);
    inode.sync();
    for (const names of [this.#seen, this.#durable]) names.set(path, inode);
  }

  #do(change: NameChange): void {
    change.apply(this.#seen);
    this.#unsynced.push(change);
  }

  #remove(path: string, alsoDurableWith = parentOf(path)): void {
    const node = this.#seen.get(path);
    this.#do({
      directories: [parentOf(path), alsoDurableWith],
      apply: (names) => {
        if (names.get(path) === node) names.delete(path);
      },
    });
  }

  #needParent(path: string): void {
    if (this.#seen.get(parentOf(path)) !== 'directory')
      throw new DiskError('ENOENT', path, 'its directory does not exist');
  }

  /** What lies in a directory whose making was lost is lost with it. */
  #dropOrphans(): void {
    for (let dropped = true; dropped;) {
      dropped = false;
      for (const path of [...this.#durable.keys()]) {
        if (path === '/' || this.#durable.get(parentOf(path)) === 'directory') continue;
        this.#durable.delete(path);
        dropped = true;
      }
    }
  }
}
