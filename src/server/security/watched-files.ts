/** Files that may be replaced while the node runs. */
import { LogboomError } from '../../base/errors.js';
import { isDiskError } from '../../base/ports/disk.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Counter } from '../../base/ports/metrics.js';

/** A file, and what names it: a setting. */
export interface NamedFile {
  readonly setting: string;
  readonly path: string;
}

export interface WatchedFilesOptions<Content> {
  /** What they are, in logs and metrics: `tokens`, `tls`, `links`. */
  readonly what: string;
  readonly files: readonly NamedFile[];
  /** Throws LogboomError CONFIGURATION_INVALID for what must not come into force. */
  readonly parse: (bytes: readonly Buffer[]) => Content;
}

/** Larger ones are no such files. */
const fileBytesMax = 4 * 1024 * 1024;

/**
 * Files that come into force together. They are read and compared as a whole: modification times miss changes, and watching
 * misses renames and mounts. What is refused, or cannot be read, leaves in force what was there; that is logged and counted
 * once it was seen twice, because files that belong together are not replaced at one moment.
 */
export class WatchedFiles<Content> {
  readonly #environment: Pick<Environment, 'disk' | 'logger'>;
  readonly #options: WatchedFilesOptions<Content>;
  readonly #reloads: Counter;
  #inForce: readonly Buffer[] = [];
  #refused: { readonly bytes: readonly Buffer[] | undefined; readonly message: string; isTold: boolean } | undefined;

  constructor(environment: Pick<Environment, 'disk' | 'logger' | 'metrics'>, options: WatchedFilesOptions<Content>) {
    this.#environment = environment;
    this.#options = options;
    this.#reloads = environment.metrics.counter(
      'logboom_security_reloads_total',
      'Changes of files of tokens and certificates that were found while the node ran, by file and by outcome: in force or refused.',
    );
  }

  /** @throws LogboomError CONFIGURATION_INVALID naming file and setting */
  async load(): Promise<Content> {
    const bytes = await this.#read();
    const content = this.#options.parse(bytes);
    this.#inForce = bytes;
    return content;
  }

  /** Answers the content when it has changed and is sound; never rejects. */
  async reload(): Promise<Content | undefined> {
    let bytes: readonly Buffer[] | undefined;
    try {
      bytes = await this.#read();
      if (isSame(bytes, this.#inForce)) {
        this.#refused = undefined;
        return undefined;
      }
      if (isSame(bytes, this.#refused?.bytes)) {
        this.#tell();
        return undefined;
      }
      const content = this.#options.parse(bytes);
      this.#inForce = bytes;
      this.#refused = undefined;
      const { what, files } = this.#options;
      this.#reloads.add(1, { files: what, outcome: 'in-force' });
      this.#environment.logger.info('changed files are in force', { what, files: files.map(({ path }) => path) });
      return content;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const isKnown = this.#refused?.message === message && isSame(bytes, this.#refused.bytes);
      if (isKnown) this.#tell();
      else this.#refused = { bytes, message, isTold: false };
      return undefined;
    }
  }

  #tell(): void {
    if (this.#refused === undefined || this.#refused.isTold) return;
    this.#refused.isTold = true;
    const { what } = this.#options;
    this.#reloads.add(1, { files: what, outcome: 'refused' });
    this.#environment.logger.error('changed files are refused: what was in force stays so', {
      what,
      detail: this.#refused.message,
    });
  }

  #read(): Promise<readonly Buffer[]> {
    return Promise.all(this.#options.files.map((file) => this.#readOne(file)));
  }

  async #readOne({ setting, path }: NamedFile): Promise<Buffer> {
    let bytes: Uint8Array;
    try {
      bytes = await this.#environment.disk.readFile(path);
    } catch (error) {
      if (!isDiskError(error)) throw error;
      const problem =
        { ENOENT: 'there is no such file', EACCES: 'this user may not read it' }[error.code as string] ?? error.message;
      throw new LogboomError('CONFIGURATION_INVALID', `${setting}: ${path} cannot be read: ${problem}`, {
        facts: { setting, file: path },
        cause: error,
      });
    }
    if (bytes.length > fileBytesMax) {
      throw new LogboomError(
        'CONFIGURATION_INVALID',
        `${setting}: ${path} has ${bytes.length} bytes, more than the ${fileBytesMax} that are read`,
        { facts: { setting, file: path } },
      );
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

function isSame(left: readonly Buffer[] | undefined, right: readonly Buffer[] | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left.length === right.length && left.every((bytes, index) => bytes.equals(right[index] as Buffer));
}
