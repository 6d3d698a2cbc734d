/** An object store in memory, with the faults that one has: an operation fails, or happens and its answer is lost. */
import {
  type ObjectEntry,
  type ObjectOptions,
  type ObjectStore,
  ObjectStoreError,
} from '../../src/object-store/types.js';

export interface ObjectOperation {
  /** From 1. */
  readonly number: number;
  readonly kind: 'put' | 'get' | 'list' | 'delete';
  readonly name: string;
}

/** `fail`: nothing happened. `lose`: it happened, and the answer says otherwise. */
export type ObjectFault = 'fail' | 'lose';

export class MemoryObjectStore implements ObjectStore {
  readonly description = 'memory://';
  readonly objects = new Map<string, { readonly bytes: Uint8Array; readonly modifiedUnixMs: number }>();
  readonly operations: ObjectOperation[] = [];
  /** Asked at the beginning of every operation; it may also change the store, or wait. */
  intercept: ((operation: ObjectOperation) => ObjectFault | undefined | Promise<ObjectFault | undefined>) | undefined;
  putBytes = 0;
  #modifiedUnixMs = 0;

  putIfAbsent(name: string, parts: readonly Uint8Array[], options?: ObjectOptions): Promise<'created' | 'exists'> {
    return this.#operate('put', name, options, () => {
      if (this.objects.has(name)) return 'exists';
      const bytes = new Uint8Array(Buffer.concat(parts));
      this.putBytes += bytes.length;
      this.objects.set(name, { bytes, modifiedUnixMs: ++this.#modifiedUnixMs });
      return 'created';
    });
  }

  get(name: string, options: ObjectOptions & { readonly bytesMax: number }): Promise<Uint8Array> {
    return this.#operate('get', name, options, () => {
      const object = this.objects.get(name);
      if (object === undefined) throw new ObjectStoreError('NOT_FOUND', `there is no ${name}`);
      if (object.bytes.length > options.bytesMax) throw new ObjectStoreError('TOO_LARGE', `${name} is too large`);
      return Uint8Array.from(object.bytes);
    });
  }

  list(
    prefix: string,
    options: ObjectOptions & { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]> {
    return this.#operate('list', prefix, options, () => {
      const after = options.after ?? '';
      const names = [...this.objects.keys()].filter((name) => name.startsWith(prefix) && name > after);
      return names
        .toSorted((left, right) => (left < right ? -1 : 1))
        .slice(0, options.limit)
        .map((name) => ({ name, bytes: this.bytesOf(name).length, modifiedUnixMs: 0 }));
    });
  }

  delete(names: readonly string[], options?: ObjectOptions): Promise<void> {
    return this.#operate('delete', names.join(' '), options, () => {
      for (const name of names) this.objects.delete(name);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  bytesOf(name: string): Uint8Array {
    const object = this.objects.get(name);
    if (object === undefined) throw new Error(`there is no ${name}`);
    return object.bytes;
  }

  names(part: string): string[] {
    return [...this.objects.keys()].filter((name) => name.includes(part)).toSorted();
  }

  /** Changes an object, which nothing in use does. */
  tamper(name: string, change: (bytes: Uint8Array) => Uint8Array): void {
    this.objects.set(name, { bytes: change(Uint8Array.from(this.bytesOf(name))), modifiedUnixMs: 0 });
  }

  async #operate<Value>(
    kind: ObjectOperation['kind'],
    name: string,
    options: ObjectOptions | undefined,
    happen: () => Value,
  ): Promise<Value> {
    options?.signal?.throwIfAborted();
    const operation = { number: this.operations.length + 1, kind, name };
    this.operations.push(operation);
    const fault = await this.intercept?.(operation);
    if (fault === 'fail') throw new ObjectStoreError('UNAVAILABLE', `${kind} of ${name} failed`);
    const value = happen();
    await Promise.resolve();
    if (fault === 'lose') throw new ObjectStoreError('UNAVAILABLE', `the answer of ${kind} of ${name} was lost`);
    options?.signal?.throwIfAborted();
    return value;
  }
}
