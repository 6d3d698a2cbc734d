/** {@link ObjectStore} in memory, without faults and without time: every operation is done when the call returns. */
import { abortable } from '../src/object-store/abortable.js';
import { checkListLimit, checkNameBeginning, checkObjectName } from '../src/object-store/names.js';
import { joined, totalBytes } from '../src/object-store/parts.js';
import { ObjectStoreError, type ObjectEntry, type ObjectOptions, type ObjectStore } from '../src/object-store/types.js';

export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedUnixMs: number;
}

export class MemoryObjectStore implements ObjectStore {
  readonly description: string;
  /** By name; for tests and faults to look into and to change. */
  readonly objects = new Map<string, StoredObject>();
  /** Bytes that all objects may take together. */
  capacityBytes = Number.POSITIVE_INFINITY;
  readonly #nowUnixMs: () => number;

  constructor(nowUnixMs: () => number = () => 0, description = 'memory://') {
    this.#nowUnixMs = nowUnixMs;
    this.description = description;
  }

  get usedBytes(): number {
    let total = 0;
    for (const { bytes } of this.objects.values()) total += bytes.length;
    return total;
  }

  putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    { signal }: ObjectOptions = {},
  ): Promise<'created' | 'exists'> {
    return abortable(signal, async () => {
      checkObjectName(name);
      if (this.objects.has(name)) return 'exists';
      this.#checkFolders(name);
      this.put(name, parts);
      return 'created';
    });
  }

  get(name: string, { bytesMax, signal }: ObjectOptions & { readonly bytesMax: number }): Promise<Uint8Array> {
    return abortable(signal, async () => {
      checkObjectName(name);
      const object = this.objects.get(name);
      if (object === undefined) throw new ObjectStoreError('NOT_FOUND', `There is no object ${name}.`);
      const { length } = object.bytes;
      if (length > bytesMax)
        throw new ObjectStoreError('TOO_LARGE', `${name} has ${length} bytes, more than ${bytesMax}.`);
      return Uint8Array.from(object.bytes);
    });
  }

  list(
    prefix: string,
    { after = '', limit, signal }: ObjectOptions & { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]> {
    return abortable(signal, async () => {
      checkNameBeginning('prefix', prefix);
      checkNameBeginning('after', after);
      checkListLimit(limit);
      const found: ObjectEntry[] = [];
      for (const [name, { bytes, modifiedUnixMs }] of this.objects) {
        if (name > after && name.startsWith(prefix)) found.push({ name, bytes: bytes.length, modifiedUnixMs });
      }
      return found.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, limit);
    });
  }

  delete(names: readonly string[], { signal }: ObjectOptions = {}): Promise<void> {
    return abortable(signal, async () => {
      for (const name of names) checkObjectName(name);
      for (const name of names) this.objects.delete(name);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Stores a copy, whatever is there. */
  put(name: string, parts: readonly Uint8Array[]): void {
    if (this.usedBytes + totalBytes(parts) > this.capacityBytes)
      throw new ObjectStoreError('FULL', `No space for the ${totalBytes(parts)} bytes of ${name}.`);
    this.objects.set(name, { bytes: Uint8Array.from(joined(parts)), modifiedUnixMs: this.#nowUnixMs() });
  }

  /** As strict as a file system, so that what runs here runs there. */
  #checkFolders(name: string): void {
    for (const other of this.objects.keys()) {
      if (!isInFolder(other, name) && !isInFolder(name, other)) continue;
      throw new ObjectStoreError('INVALID', `Of ${name} and ${other} one is a folder of the other.`);
    }
  }
}

/** With no string made for it: every object that is put is compared with all. */
function isInFolder(name: string, folder: string): boolean {
  return name.length > folder.length && name.charCodeAt(folder.length) === slash && name.startsWith(folder);
}

const slash = 0x2f;
