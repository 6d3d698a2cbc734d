/** A node as a process of its own, so that it can be killed. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { LogboomClient } from '../../../src/client/index.js';
import type { ClientOptions } from '../../../src/client/index.js';
import { freePortPair } from './free-ports.js';
import { MetricsPage } from './metrics.js';
import { temporaryDirectory } from './temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../../..');
const startTimeoutMs = 60_000;
/** Kept of what a process writes to standard error. */
const logCharactersMax = 1_000_000;

/** Sections and settings as in a configuration file. */
export type Settings = Readonly<Record<string, unknown>>;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartedFacts {
  readonly startMs: number;
  readonly replayedEntries: number;
}

// No test, however it fails, leaves a server behind.
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One run of the server, from its start to its end. */
export class ServerProcess {
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #log = '';
  #exit: Exit | undefined;
  #logWaiters: (() => void)[] = [];

  constructor(program: readonly string[], configPath: string) {
    this.#child = spawn(process.execPath, [...program, '--config', configPath], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    });
    running.add(this.#child);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-logCharactersMax);
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      // 'close' and not 'exit': everything it wrote has been read by then.
      this.#child.on('close', (code, signal) => {
        running.delete(this.#child);
        this.#exit = { code, signal };
        resolve(this.#exit);
        this.#wake();
      });
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get hasExited(): boolean {
    return this.#exit !== undefined;
  }

  /** The newest part of its standard error. */
  get log(): string {
    return this.#log;
  }

  /** Messages of its log lines, with their fields. */
  get logLines(): readonly Record<string, unknown>[] {
    return this.#log.split('\n').flatMap((line) => {
      try {
        return line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : [];
      } catch {
        return [];
      }
    });
  }

  /** Resolves when the node serves; rejects, with its log, when it ends before. */
  async started(): Promise<StartedFacts> {
    const line = await this.logged('the node serves', startTimeoutMs);
    return { startMs: Number(line['startMs']), replayedEntries: Number(line['replayedEntries']) };
  }

  /** Resolves with the first log line of that message. */
  async logged(message: string, timeoutMs: number): Promise<Record<string, unknown>> {
    const deadlineMs = Date.now() + timeoutMs;
    for (;;) {
      const line = this.#log.includes(message) ? this.logLines.find(({ msg }) => msg === message) : undefined;
      if (line) return line;
      if (this.#exit)
        throw new Error(
          `the server ended (${JSON.stringify(this.#exit)}) without "${message}":\n${this.#log.slice(-4000)}`,
        );
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0) throw new Error(`no "${message}" in ${timeoutMs} ms:\n${this.#log.slice(-4000)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#logWaiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL');
    return this.exited;
  }

  /** SIGTERM, and waits for the end. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    return this.exited;
  }

  /** Memory of the process that is not backed by a file. */
  get anonymousBytes(): number {
    const line = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(line?.[1] ?? Number.NaN) * 1024;
  }

  #wake(): void {
    for (const wake of this.#logWaiters.splice(0)) wake();
  }
}

/** Settings under which the log rolls, stores are flushed and the log is trimmed many times a second. */
export const restlessSettings = {
  partitions: 4,
  limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
  wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 2 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '1MiB', flushAgeMs: 200 },
  disk: { lowWaterMarkBytes: 0 },
  retention: { checkIntervalMs: 200 },
  shutdown: { drainMs: '5s' },
} as const satisfies Settings;

/** A place for a node: data directory, configuration file, ports; and its runs, one after another. */
export class ServerHost {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly port: number;
  readonly address: string;
  settings: Settings;
  readonly #configPath: string;
  #process: ServerProcess | undefined;

  private constructor(directory: string, port: number, settings: Settings, dataDirectory: string) {
    this.directory = directory;
    this.dataDirectory = dataDirectory;
    this.port = port;
    this.address = `127.0.0.1:${port}`;
    this.settings = settings;
    this.#configPath = path.join(directory, `server-${port}.json`);
  }

  /**
   * @param options.dataDirectory where another host has its data, or on another file system
   * @param options.port the first of the ports that the server listens on
   */
  static async make(
    settings: Settings,
    options: { readonly dataDirectory?: string; readonly port?: number } = {},
  ): Promise<ServerHost> {
    const directory = temporaryDirectory();
    const host = new ServerHost(
      directory,
      options.port ?? (await freePortPair()),
      settings,
      options.dataDirectory ?? path.join(directory, 'data'),
    );
    // Before the directory is removed: what registers later runs first.
    onTestFinished(async () => {
      if (host.#process && !host.#process.hasExited) await host.#process.kill();
    });
    return host;
  }

  get process(): ServerProcess {
    if (!this.#process) throw new Error('the server was never started');
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.hasExited;
  }

  /** Spawns the process; whether and when it serves is the process's to tell. */
  spawn(settings: Settings = {}, program: readonly string[] = ['bin/logboom.cjs', 'server']): ServerProcess {
    const configuration = { port: this.port, dataDir: this.dataDirectory, ...this.settings, ...settings };
    writeFileSync(this.#configPath, JSON.stringify(configuration));
    this.#process = new ServerProcess(program, this.#configPath);
    return this.#process;
  }

  /** Spawns and waits until the node serves. */
  async start(settings: Settings = {}): Promise<StartedFacts> {
    return this.spawn(settings).started();
  }

  /** A client that is closed with the test. */
  client(options: Omit<ClientOptions, 'address'> = {}): LogboomClient {
    const client = new LogboomClient({ address: this.address, ...options });
    // Not awaited: after a failed test its appenders would wait for a server that is gone.
    onTestFinished(() => void client.close().catch(() => {}));
    return client;
  }

  async metrics(): Promise<MetricsPage> {
    const response = await fetch(`http://127.0.0.1:${this.port + 1}/metrics`, { signal: AbortSignal.timeout(5000) });
    return new MetricsPage(await response.text());
  }
}
