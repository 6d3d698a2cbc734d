/** A node of the cluster under test: a process, its disk, its place in the network. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from './capabilities.js';
import type { Capabilities } from './capabilities.js';

const root = path.resolve(import.meta.dirname, '../..');
const mebibyte = 2 ** 20;

export interface FaultNodeParts {
  readonly id: number;
  readonly directory: string;
  readonly host: string;
  readonly port: number;
  readonly namespace: string | undefined;
  readonly disk: Capabilities['smallDisks'];
  readonly diskMib: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

export class FaultNode {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly logFile: string;
  isPaused = false;
  /** Ends that nobody asked for. */
  readonly unexpected: string[] = [];
  readonly #parts: FaultNodeParts;
  readonly #mountPoint: string;
  #child: ChildProcess | undefined;
  #isEnding = false;

  constructor(parts: FaultNodeParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.host = parts.host;
    this.port = parts.port;
    this.logFile = path.join(parts.directory, `n${parts.id}.log`);
    this.#mountPoint = path.join(parts.directory, `n${parts.id}`);
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  prepare(): void {
    const { disk, diskMib, settings, port, directory } = this.#parts;
    mkdirSync(this.#mountPoint, { recursive: true });
    if (disk === 'tmpfs') run('mount', '-t', 'tmpfs', '-o', `size=${diskMib}m`, 'tmpfs', this.#mountPoint);
    if (disk === 'ext4') {
      const image = path.join(directory, `n${this.id}.img`);
      run('truncate', '-s', `${diskMib}M`, image);
      run('mkfs.ext4', '-q', '-m', '0', image);
      run('mount', '-o', 'loop', image, this.#mountPoint);
    }
    const own = { nodeId: this.id, nodeName: `n${this.id}`, host: this.host, httpHost: this.host, port };
    const configuration = { ...own, dataDir: path.join(this.#mountPoint, 'data'), ...settings };
    writeFileSync(this.#configurationFile, JSON.stringify(configuration, undefined, 2));
  }

  start(): void {
    const { namespace } = this.#parts;
    const node = [process.execPath, path.join(root, 'bin/logboom.cjs'), 'server', '--config', this.#configurationFile];
    // `ip netns exec` becomes the node: signals go to the right process.
    const [command, ...options] = namespace === undefined ? node : ['ip', 'netns', 'exec', namespace, ...node];
    const log = openSync(this.logFile, 'a');
    this.#isEnding = false;
    this.isPaused = false;
    const child = spawn(command as string, options, { stdio: ['ignore', log, log] });
    this.#child = child;
    closeSync(log);
    child.once('exit', (code, signal) => {
      if (!this.#isEnding) this.unexpected.push(`node ${this.id} ended by itself: code ${code}, signal ${signal}`);
    });
  }

  /** Resolves when the process is gone; SIGTERM stops it gently. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    this.#isEnding = true;
    if (this.isPaused && signal === 'SIGTERM') this.resume();
    const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    const code = await exited;
    if (signal === 'SIGTERM' && code !== 0) this.unexpected.push(`node ${this.id}, told to stop, ended with ${code}`);
  }

  pause(): void {
    if (!this.isRunning) return;
    this.isPaused = true;
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    if (this.isPaused) this.#child?.kill('SIGCONT');
    this.isPaused = false;
  }

  /** Takes all the space that is left on its disk. */
  fillDisk(): void {
    const descriptor = openSync(this.#ballast, 'a');
    for (let size = mebibyte; size >= 512;) {
      try {
        if (writeSync(descriptor, Buffer.alloc(size, 1)) < size) size /= 2;
      } catch {
        size /= 2;
      }
    }
    closeSync(descriptor);
  }

  freeDisk(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Undefined when it is ready; otherwise why it is not. */
  async unready(): Promise<string | undefined> {
    if (!this.isRunning) return 'it does not run';
    return fetch(`http://${this.host}:${this.port + 1}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      async (response) => (response.ok ? undefined : await response.text()),
      (error: unknown) => String(error),
    );
  }

  async ready(timeoutMs: number): Promise<void> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      const reason = await this.unready();
      if (reason === undefined) return;
      if (performance.now() > untilMs) throw new Error(`node ${this.id} is not ready after ${timeoutMs} ms: ${reason}`);
      await delay(100);
    }
  }

  /** Newest lines of its log. */
  logTail(characters: number): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8').slice(-characters) : '';
  }

  /** The process is gone by now. */
  unmount(): void {
    if (this.#parts.disk !== undefined) run('umount', '-l', this.#mountPoint);
  }

  /** At the end of this process, whatever became of the run. */
  killNow(): void {
    this.#isEnding = true;
    this.#child?.kill('SIGKILL');
  }

  get #configurationFile(): string {
    return path.join(this.#parts.directory, `n${this.id}.json`);
  }

  get #ballast(): string {
    return path.join(this.#mountPoint, 'ballast');
  }
}
