/**
 * The server's compressor port over @cloudpss/zstd, whose calls are synchronous: large ones run on threads of its own.
 *
 * The client has another (src/client/zstd.ts), because they bound different things. This one decompresses what anybody may
 * have sent, into a buffer that the decoder itself cannot leave, on several threads. The client compresses, in streaming
 * contexts whose output grows as it comes: they need no bound, are quicker than WebAssembly, and one thread of them keeps
 * up with one appender.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { Codec, CompressionError } from '../../base/ports/compressor.js';
import { zstdContentBytes } from '../../base/zstd-frame.js';
import type { Compressor } from '../../base/ports/compressor.js';

/** The fastest of the normal levels; 9.8 times on real log text. */
const level = 1;

/**
 * Handing a job to a thread and back costs the JavaScript thread about 20 us and the caller 200 us. Decompressing 64 KiB
 * takes 21 us and compressing 8 KiB about as long, so that up to there a thread would cost more than it takes off.
 */
const inlineDecompressBytesMax = 64 * 1024;
const inlineCompressBytesMax = 8 * 1024;

/** The part of the native module that is used. Its own `decompress` would take a gibibyte as its limit. */
interface Binding {
  compress(data: Uint8Array, level: number): Uint8Array;
  /** `maxBytes` is exclusive. */
  decompress(data: Uint8Array, maxBytes: number): Uint8Array;
}

const requireHere = createRequire(import.meta.url);
const { _NapiBindings: binding } = (await import('@cloudpss/zstd/napi')) as { _NapiBindings: Binding };

/**
 * The native module has one compression and one decompression context for the whole process, without a lock: two threads
 * in it at once get each other's data, or crash. So only this thread calls it, and the others have the package's
 * WebAssembly build, of which each thread makes an instance of its own; with large input it is a quarter slower.
 */
const threadModulePath = requireHere.resolve('@cloudpss/zstd/wasm');

/**
 * Source of the threads, as text: it has to run from sources (tsx, vitest) as well as from dist, and Node 20 loads no
 * TypeScript. Results have an ArrayBuffer of their own, which moves to the caller without another copy. What is
 * decompressed is exactly one frame by then, whose declared size was checked against the limit.
 */
const workerSource = `
const { parentPort, workerData } = require('node:worker_threads');
import(require('node:url').pathToFileURL(workerData.modulePath).href).then((zstd) => {
  parentPort.on('message', ({ id, compress, bytes, parameter }) => {
    try {
      const result = compress ? zstd.compress(bytes, parameter) : zstd.decompress(bytes);
      if (!compress && result.byteLength >= parameter) throw new Error('it holds more than it declares');
      parentPort.postMessage({ id, result }, [result.buffer]);
    } catch (error) {
      parentPort.postMessage({ id, problem: String(error && error.message || error) });
    }
  });
});
`;

interface Job {
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly thread: Thread;
}

interface Thread {
  readonly worker: Worker;
  pending: number;
}

interface Reply {
  readonly id: number;
  readonly result?: Uint8Array;
  readonly problem?: string;
}

/**
 * Memory is bounded by the callers: a job holds its input and its result, and whoever starts one has been admitted with
 * its bytes. Threads start with the first large job and keep no process alive.
 */
export class ZstdCompressor implements Compressor {
  readonly #threadsMax: number;
  readonly #threads: Thread[] = [];
  readonly #jobs = new Map<number, Job>();
  #lastId = 0;
  #stopped = false;

  constructor(options: { threads?: number } = {}) {
    this.#threadsMax = options.threads ?? 2;
  }

  async compress(codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
    if (codec === Codec.none) return bytes;
    if (bytes.byteLength <= inlineCompressBytesMax) return binding.compress(asBuffer(bytes), level);
    return this.#run(true, bytes, level);
  }

  async decompress(codec: Codec, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
    if (codec === Codec.none) return withinLimit(bytes, maxBytes);
    const contentBytes = zstdContentBytes(bytes);
    if (contentBytes > maxBytes) {
      throw new CompressionError(`the zstd frame declares ${contentBytes} bytes of content; ${maxBytes} are allowed`);
    }
    const limit = contentBytes + 1;
    const result =
      contentBytes <= inlineDecompressBytesMax ? decompressHere(bytes, limit) : await this.#run(false, bytes, limit);
    if (result.byteLength !== contentBytes) {
      throw new CompressionError(`the zstd frame declares ${contentBytes} bytes and holds ${result.byteLength}`);
    }
    return result;
  }

  /** Ends the threads; jobs under way are rejected. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const threads = this.#threads.splice(0);
    for (const thread of threads) this.#abandon(thread, 'the compressor was stopped');
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #run(compress: boolean, bytes: Uint8Array, parameter: number): Promise<Uint8Array> {
    if (this.#stopped) return Promise.reject(new CompressionError('the compressor was stopped'));
    const thread = this.#leastBusyThread();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      thread.pending++;
      this.#jobs.set(id, { resolve, reject, thread });
      // A copy of exactly these bytes: a view would take the whole buffer behind it along.
      const copy = Uint8Array.from(bytes);
      thread.worker.postMessage({ id, compress, bytes: copy, parameter }, [copy.buffer]);
    });
  }

  #leastBusyThread(): Thread {
    const [least] = this.#threads.toSorted((left, right) => left.pending - right.pending);
    if (least && (least.pending === 0 || this.#threads.length >= this.#threadsMax)) return least;
    const worker = new Worker(workerSource, {
      eval: true,
      workerData: { modulePath: threadModulePath },
      stdout: false,
      stderr: false,
    });
    const thread: Thread = { worker, pending: 0 };
    worker.on('message', (reply: Reply) => this.#finish(reply));
    worker.on('error', (error) => this.#lose(thread, `a compressor thread failed: ${error.message}`));
    worker.on('exit', (code) => this.#lose(thread, `a compressor thread ended with code ${code}`));
    worker.unref();
    this.#threads.push(thread);
    return thread;
  }

  #finish({ id, result, problem }: Reply): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#jobs.delete(id);
    job.thread.pending--;
    if (result) job.resolve(result);
    else job.reject(new CompressionError(`the zstd frame is damaged: ${problem}`));
  }

  #lose(thread: Thread, why: string): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    this.#abandon(thread, why);
  }

  #abandon(thread: Thread, why: string): void {
    for (const [id, job] of this.#jobs) {
      if (job.thread !== thread) continue;
      this.#jobs.delete(id);
      job.reject(new Error(why));
    }
  }
}

function withinLimit(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.byteLength <= maxBytes) return bytes;
  throw new CompressionError(`${bytes.byteLength} bytes; ${maxBytes} are allowed`);
}

function decompressHere(bytes: Uint8Array, limit: number): Uint8Array {
  try {
    return binding.decompress(asBuffer(bytes), limit);
  } catch (error) {
    throw new CompressionError(`the zstd frame is damaged: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
