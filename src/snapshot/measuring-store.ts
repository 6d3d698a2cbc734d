import { ObjectStoreError, type ObjectEntry, type ObjectStore } from '../object-store/types.js';

/**
 * Keeps of each object its name and size alone: what a snapshot that is written to it would take, without the room that it
 * would take.
 */
export class MeasuringStore implements ObjectStore {
  readonly description = 'nowhere';
  readonly #bytes = new Map<string, number>();

  putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    if (this.#bytes.has(name)) return Promise.resolve('exists');
    this.#bytes.set(
      name,
      parts.reduce((sum, { length }) => sum + length, 0),
    );
    return Promise.resolve('created');
  }

  get(name: string): Promise<Uint8Array> {
    return Promise.reject(new ObjectStoreError('NOT_FOUND', `${name} was measured and not stored`));
  }

  list(
    prefix: string,
    { after = '', limit }: { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]> {
    const names = [...this.#bytes.keys()].filter((name) => name.startsWith(prefix) && name > after).sort();
    return Promise.resolve(
      names.slice(0, limit).map((name) => ({ name, bytes: this.#bytes.get(name) ?? 0, modifiedUnixMs: 0 })),
    );
  }

  delete(names: readonly string[]): Promise<void> {
    for (const name of names) this.#bytes.delete(name);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
