/**
 * Objects by name: a file system, S3, or a simulated store with every fault that one has. Its contract is the suite in
 * test/contracts/object-store.ts, which every implementation passes.
 *
 * Names are relative to where the store was opened, 1 to 512 of `A-Z a-z 0-9 . _ - /`; of the parts between the `/` none
 * is empty, begins with a dot or has more than 200 characters. No name may be a folder of another (`a` and `a/b`): a file
 * system cannot hold both, and a store that cannot rejects the second, with INVALID where it can tell.
 *
 * Objects are immutable in use: nothing here replaces one. An operation that rejects may still have happened (the answer
 * was lost), and may even happen later; callers are idempotent.
 *
 * All operations reject with {@link ObjectStoreError}, or with the reason of `signal` once that aborts.
 */
export interface ObjectStore {
  /** What it is, for people: `file:///var/lib/logboom/snapshots`, `s3://bucket/prefix`. Never a secret. */
  readonly description: string;
  /**
   * Stores the bytes of all parts, one after another, as one object; durable, and visible to every `get` and `list` that
   * begins afterwards, when it resolves. `exists`: there is an object of this name, whatever its content, which is as durable, and nothing was
   * changed. Of several that race for one name exactly one is told `created`, unless an answer was lost.
   */
  putIfAbsent(name: string, parts: readonly Uint8Array[], options?: ObjectOptions): Promise<'created' | 'exists'>;
  /**
   * The whole object; memory of the caller's own.
   *
   * @throws ObjectStoreError NOT_FOUND; TOO_LARGE when it has more than `bytesMax`; CORRUPT when what arrived is not what
   *   was stored, as far as the store can tell
   */
  get(name: string, options: ObjectOptions & { readonly bytesMax: number }): Promise<Uint8Array>;
  /**
   * Objects whose names begin with `prefix` and sort above `after`, ascending by the bytes of their names; at most `limit`
   * (1 or more), and fewer only when there are no more. Neither needs to be a whole name; `''` is every object's prefix.
   */
  list(
    prefix: string,
    options: ObjectOptions & { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]>;
  /** No error for those that are not there. */
  delete(names: readonly string[], options?: ObjectOptions): Promise<void>;
  close(): Promise<void>;
}

export interface ObjectOptions {
  readonly signal?: AbortSignal;
}

export interface ObjectEntry {
  readonly name: string;
  readonly bytes: number;
  /** By the store's own clock, which may be off; not for decisions about what is safe. */
  readonly modifiedUnixMs: number;
}

/**
 * `UNAVAILABLE` passes: the store was not reached, is overloaded, or gave no answer in time. `DENIED`, `INVALID` (no such
 * bucket, a name that is not allowed, a store that lacks what is needed) and `FULL` do not pass without someone's help.
 */
export type ObjectStoreErrorCode =
  'NOT_FOUND' | 'TOO_LARGE' | 'UNAVAILABLE' | 'DENIED' | 'INVALID' | 'FULL' | 'CORRUPT';

export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly code: ObjectStoreErrorCode;

  constructor(code: ObjectStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function isObjectStoreError(error: unknown, code?: ObjectStoreErrorCode): error is ObjectStoreError {
  return error instanceof ObjectStoreError && (code === undefined || error.code === code);
}
