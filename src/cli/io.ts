import type { Readable, Writable } from 'node:stream';

/** What a command sees of the world; tests put their own in its place. */
export interface CommandIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the user asks the command to end: SIGINT or SIGTERM. */
  readonly interrupted: AbortSignal;
}

/**
 * Standard output with back-pressure. A reader that goes away (`| head`) is no error: the output is then closed, and what
 * is written is dropped.
 */
export class Output {
  readonly #stream: Writable;
  readonly #closed = new AbortController();

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#closed.abort(error);
    });
  }

  /** Aborts when nobody reads any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Resolves when the next chunk may be written; rejects only for errors that are not a reader gone away. */
  async write(chunk: string | Uint8Array): Promise<void> {
    this.#check();
    if (this.#closed.signal.aborted || chunk.length === 0 || this.#stream.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        this.#stream.off('drain', finish);
        this.#closed.signal.removeEventListener('abort', finish);
        resolve();
      };
      this.#stream.once('drain', finish);
      this.#closed.signal.addEventListener('abort', finish, { once: true });
    });
    this.#check();
  }

  #check(): void {
    if (!this.#closed.signal.aborted) return;
    const error = this.#closed.signal.reason as NodeJS.ErrnoException;
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
  }
}
