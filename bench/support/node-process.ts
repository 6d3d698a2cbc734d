/** A server process of its own, with what the operating system says of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePortPair } from '../../test/integration/support/free-ports.js';
import { anonymousBytesOf, cpuSecondsOf, writtenBytesOf } from './proc.js';

const root = path.resolve(import.meta.dirname, '../..');

export interface NodeProcess {
  readonly address: string;
  readonly dataDirectory: string;
  readonly pid: number;
  /** User and system time, in seconds. */
  cpuSeconds(): number;
  /** RssAnon, in bytes: without pages that are mapped from files. */
  anonymousBytes(): number;
  /** Bytes that reached the block layer. */
  writtenBytes(): number;
  metrics(): Promise<string>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, and the data directory goes. */
  stop(): Promise<void>;
}

export interface NodeProcessOptions {
  /** Where the data directory is made; it decides which disk is measured. */
  readonly parentDirectory: string;
  readonly flags?: readonly string[];
  /** Of Node itself, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[];
  /** Goes on with this one instead of making one. */
  readonly dataDirectory?: string;
}

export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(path.join(options.parentDirectory, 'logboom-bench-')));
  const port = await freePortPair();
  const child = spawn(
    process.execPath,
    [
      ...(options.nodeFlags ?? []),
      path.join(root, 'bin/logboom.cjs'),
      'dev',
      `--data-dir=${dataDirectory}`,
      `--port=${port}`,
      '--log-level=warn',
      ...(options.flags ?? []),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const pid = child.pid;
  if (pid === undefined) throw new Error('the server process could not be started');
  await ready(child, port + 1);
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await exited;
  };
  return {
    address: `127.0.0.1:${port}`,
    dataDirectory,
    pid,
    cpuSeconds: () => cpuSecondsOf(pid),
    anonymousBytes: () => anonymousBytesOf(pid),
    writtenBytes: () => writtenBytesOf(pid),
    metrics: async () => (await fetch(`http://127.0.0.1:${port + 1}/metrics`)).text(),
    kill,
    stop: async () => {
      await kill('SIGTERM');
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

async function ready(child: ChildProcess, httpPort: number): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server process ended with code ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${httpPort}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await delay(20);
  }
}
