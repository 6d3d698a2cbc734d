/** A real S3-compatible server (versitygw on a directory) on loopback; scripts/ci-services.mjs installs it. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { freePorts } from './free-ports.js';
import { temporaryDirectory } from './temporary-directory.js';

const script = path.resolve(import.meta.dirname, '../../../scripts/ci-services.mjs');

/** Undefined when it is not installed. */
export const s3ServerBinary: string | undefined =
  spawnSync(process.execPath, [script, '--where', 's3'], { encoding: 'utf8' }).stdout.trim() || undefined;

export class S3Server {
  readonly bucket = 'logboom-test';
  readonly accessKeyId = 'logboom';
  readonly secretAccessKey = 'not-a-secret-but-a-key';
  readonly port: number;
  readonly #directory: string;
  #process: ChildProcess | undefined;
  #output = '';

  private constructor(port: number, directory: string) {
    this.port = port;
    this.#directory = directory;
  }

  /** Running, with an empty bucket; stopped after the test. */
  static async start(): Promise<S3Server> {
    const server = new S3Server(await freePorts(1), temporaryDirectory());
    // A bucket is a directory.
    mkdirSync(path.join(server.#directory, server.bucket));
    onTestFinished(() => server.stop());
    await server.run();
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, again too: on the same port, with what is stored. */
  async run(): Promise<void> {
    if (s3ServerBinary === undefined) throw new Error('the S3 server is not installed');
    const child = spawn(s3ServerBinary, ['--quiet', '--port', `127.0.0.1:${this.port}`, 'posix', this.#directory], {
      env: {
        PATH: process.env['PATH'],
        ROOT_ACCESS_KEY: this.accessKeyId,
        ROOT_SECRET_KEY: this.secretAccessKey,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output = (this.#output + text).slice(-10_000)));
    const deadlineMs = performance.now() + 20_000;
    while (!(await answers(this.port))) {
      if (child.exitCode !== null || performance.now() > deadlineMs)
        throw new Error(`the S3 server did not start (exit code ${child.exitCode}): ${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
