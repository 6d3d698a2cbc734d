import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Codec, CompressionError } from '../base/ports/compressor.js';
import type { Compressor } from '../base/ports/compressor.js';
import { declareContentBytes, zstdContentBytes } from '../base/zstd-frame.js';

/**
 * Up to this size compressing here (50 us) costs this thread little more than the two messages to a worker and back, and
 * the answer comes sooner. Decompressing is always done here: it takes 80 us for 64 KiB.
 */
const inlineBytesMax = 16 * 1024;
/** Above it the native decoder is the quicker one, and what it wastes (see {@link OneCallCodec}) is small beside the content. */
const oneCallDecompressBytesMax = 64 * 1024;
/** The quickest level: log text shrinks about as well as with the others. */
const level = 1;
/** How much is decompressed before the size of the output is looked at. */
const inputStepBytes = 64 * 1024;

type OnBytes = (bytes: Buffer) => void;

/**
 * The package's streaming classes, native. Its plain native `compress` and `decompress` are not used: they work in one
 * context for the whole process, so that two threads calling them at the same time damage each other's frames, or crash.
 * The contexts of these belong to their object.
 */
interface StreamCodec {
  data(bytes: Uint8Array, onBytes: OnBytes): void;
  end(onBytes: OnBytes): void;
}

/**
 * The package's WebAssembly build, of which each thread has an instance of its own. For small inputs, because each call of
 * a streaming class takes 128 KiB of memory for what it puts out, however little that is, and keeps them until V8
 * collects: at a thousand batches of 500 bytes a second that was a full collection every fifth of a second, and half of
 * the latency at the tail.
 */
interface OneCallCodec {
  compress(bytes: Uint8Array, level: number): Uint8Array;
  /** Allocates what the frame declares. */
  decompress(bytes: Uint8Array): Uint8Array;
}

interface Binding extends OneCallCodec {
  readonly Decompressor: new () => StreamCodec;
}

interface Job {
  readonly contentBytes: number;
  readonly resolve: (bytes: Buffer) => void;
  readonly reject: (error: Error) => void;
}
interface Answer {
  readonly id: number;
  readonly bytes?: Uint8Array;
  readonly error?: string;
}

/**
 * The worker as a program text: a file of its own would have to be found both beside the sources and in dist/. The
 * package is given by its location, because a program text has no place of its own to resolve it from.
 */
const workerProgram = `
const { parentPort, workerData } = require('node:worker_threads');
import(workerData.packageUrl).then(({ _NapiBindings: { Compressor } }) => {
  let compressor;
  parentPort.on('message', ({ id, input }) => {
    try {
      compressor ??= new Compressor(workerData.level);
      const parts = [];
      compressor.data(Buffer.from(input.buffer, input.byteOffset, input.length), (part) => parts.push(part));
      compressor.end((part) => parts.push(part));
      const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
      }
      parentPort.postMessage({ id, bytes }, [bytes.buffer]);
    } catch (error) {
      compressor = undefined;
      parentPort.postMessage({ id, error: String(error && error.message) });
    }
  });
});
`;

/**
 * zstd for a client, with one worker thread for what would hold up this one. (Why the server has another one:
 * src/server/adapters/zstd-compressor.ts.) The package and the worker are loaded at the first use;
 * neither keeps the process alive. Input in shared memory reaches the worker without a copy.
 */
export class ZstdCompressor implements Compressor {
  #binding: Binding | undefined;
  #decompressor: StreamCodec | undefined;
  #worker: Worker | undefined;
  #workerReady = false;
  #closed = false;
  #nextId = 0;
  readonly #jobs = new Map<number, Job>();

  /** Answers synchronously for small inputs when the package is loaded already, so that a batch can leave at once. */
  compressNow(bytes: Uint8Array): Uint8Array | undefined {
    return bytes.length <= inlineBytesMax && this.#binding ? this.#compressHere(bytes) : undefined;
  }

  /** Loads the package, so that {@link compressNow} works. */
  async load(): Promise<void> {
    if (this.#binding) return;
    const [{ _NapiBindings: native }, { compress, decompress }] = await Promise.all([
      import('@cloudpss/zstd/napi'),
      import('@cloudpss/zstd/wasm'),
    ]);
    this.#binding = { Decompressor: native.Decompressor, compress, decompress };
  }

  async compress(codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
    if (codec === Codec.none) return bytes;
    await this.load();
    const worker = bytes.length > inlineBytesMax ? this.#startedWorker() : undefined;
    // While the worker starts, and when it cannot, this thread does it: slower, but it never fails for that.
    return worker ? this.#compressThere(worker, bytes) : this.#compressHere(bytes);
  }

  async decompress(codec: Codec, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
    if (codec === Codec.none) return bytes;
    const declared = zstdContentBytes(bytes);
    if (declared > maxBytes)
      throw new CompressionError(`the frame declares ${declared} bytes, allowed are ${maxBytes}`);
    await this.load();
    if (declared > oneCallDecompressBytesMax) return this.#decompressInSteps(bytes, declared);
    const content = inOneCall(() => (this.#binding as Binding).decompress(bytes));
    if (content.length === declared) return content;
    throw new CompressionError(`the frame declares ${declared} bytes and holds ${content.length}`);
  }

  /** Ends the worker. What is under way is refused. */
  close(): void {
    this.#closed = true;
    this.#fail(new CompressionError('the compressor was closed'));
  }

  #compressHere(bytes: Uint8Array): Uint8Array {
    return inOneCall(() => (this.#binding as Binding).compress(bytes, level));
  }

  #decompressInSteps(bytes: Uint8Array, declared: number): Buffer {
    const decompressor = (this.#decompressor ??= new (this.#binding as Binding).Decompressor());
    const output = Buffer.allocUnsafeSlow(declared);
    let produced = 0;
    // It cannot stop the decoder; what is too much is counted and dropped.
    const take: OnBytes = (part) => {
      if (produced + part.length <= declared) output.set(part, produced);
      produced += part.length;
    };
    try {
      for (let at = 0; at < bytes.length && produced <= declared; at += inputStepBytes)
        decompressor.data(bytes.subarray(at, at + inputStepBytes), take);
      // What the decoder still holds, when its last portion was a full one.
      if (produced < declared) decompressor.end(take);
    } catch (error) {
      this.#decompressor = undefined;
      throw new CompressionError(`zstd: ${(error as Error).message}`, { cause: error });
    }
    if (produced !== declared) {
      // It may be in the middle of a frame.
      this.#decompressor = undefined;
      throw new CompressionError(`the frame declares ${declared} bytes and holds ${produced} or more`);
    }
    return output;
  }

  #compressThere(worker: Worker, input: Uint8Array): Promise<Buffer> {
    this.#nextId += 1;
    const id = this.#nextId;
    const shared = input.buffer instanceof SharedArrayBuffer;
    return new Promise<Buffer>((resolve, reject) => {
      if (this.#jobs.size === 0) worker.ref();
      this.#jobs.set(id, { contentBytes: input.length, resolve, reject });
      // A message carries the whole memory behind a view: copy the part that is meant, unless it is shared.
      worker.postMessage({ id, input: shared ? input : new Uint8Array(input) });
    });
  }

  #startedWorker(): Worker | undefined {
    if (this.#closed) return undefined;
    if (!this.#worker) {
      const module = createRequire(import.meta.url).resolve('@cloudpss/zstd/napi');
      const workerData = { packageUrl: pathToFileURL(module).href, level };
      const worker = new Worker(workerProgram, { eval: true, workerData, execArgv: [] });
      worker.unref();
      worker.on('online', () => (this.#workerReady = true));
      worker.on('message', (answer: Answer) => this.#answered(answer));
      worker.on('error', (error) => this.#fail(new CompressionError(`compression worker: ${error.message}`)));
      this.#worker = worker;
    }
    return this.#workerReady ? this.#worker : undefined;
  }

  #answered({ id, bytes, error }: Answer): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#jobs.delete(id);
    if (this.#jobs.size === 0) this.#worker?.unref();
    if (!bytes) return job.reject(new CompressionError(`zstd: ${error}`));
    job.resolve(declareContentBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), job.contentBytes));
  }

  /** The next use starts another worker, unless this was closed. */
  #fail(error: CompressionError): void {
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    void this.#worker?.terminate();
    this.#worker = undefined;
    this.#workerReady = false;
    for (const job of jobs) job.reject(error);
  }
}

function inOneCall(call: () => Uint8Array): Uint8Array {
  try {
    return call();
  } catch (error) {
    throw new CompressionError(`zstd: ${(error as Error).message}`, { cause: error });
  }
}
