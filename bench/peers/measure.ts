/** One measurement: the load process and what it asks for. */
import { fork } from 'node:child_process';
import path from 'node:path';
import type { Figures } from '../support/workload.js';
import type { Answer, Ask, FromLoad, Job, Sizes } from './load/job.js';
import { endOf, watchOver } from './servers.js';
import type { Servers } from './servers.js';
import type { System } from './systems/system.js';
import type { Workload } from './workloads.js';

/** Far above what any of them takes: for one that hangs. */
const timeoutMs = 15 * 60_000;

export interface Measurement {
  readonly system: System;
  readonly workload: Workload;
  readonly codec: string;
  readonly sizes: Sizes;
}

/** @throws Error with what went wrong in the load or in the servers */
export async function measure(servers: Servers, { system, workload, codec, sizes }: Measurement): Promise<Figures> {
  const child = fork(path.join(import.meta.dirname, 'load/main.ts'), {
    execArgv: ['--import', 'tsx'],
    // Of its output only failures matter, and those come as a message; but a crash must not be silent.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  });
  watchOver(child);
  const job: Job = {
    system: system.name,
    workload,
    codec,
    sizes,
    endpoints: servers.endpoints,
    pids: servers.pids,
    dataDirectory: servers.directory,
  };
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  try {
    return await new Promise<Figures>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`the load process ended (${signal ?? code})`)));
      child.on('message', (message) => {
        const said = message as FromLoad;
        if ('figures' in said) resolve(said.figures);
        else if ('failed' in said) reject(new Error(said.failed));
        else answer(servers, said).then((atMs) => child.send({ atMs } satisfies Answer), reject);
      });
      child.send(job);
    });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await endOf(child);
  }
}

async function answer(servers: Servers, ask: Ask): Promise<number> {
  if (ask.ask === 'kill') return servers.kill(ask.node);
  await servers.kill();
  return servers.spawnAll();
}
