/** The process of one node of a local cluster: started, found again by what `nodes.json` says, signalled. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CommandError } from '../failure.js';
import type { NodeEntry, ProcessEntry } from './node-list.js';
import { findProcess } from './process-identity.js';
import type { ProcessState } from './process-identity.js';

const pollMs = 50;
/** Longer than a node takes to answer what is in flight and to flush. */
const stopMs = 30_000;
const killMs = 10_000;
const logTailCharacters = 2000;

/** Settings of the environment that would make all nodes the same one, and a secret that is none of theirs. */
const notPassedOn = ['LOGBOOM_CONFIG', 'LOGBOOM_ADVERTISED_ADDRESSES', 'LOGBOOM_ZONE', 'LOGBOOM_TOKEN'];

/** The process of an entry, when it runs and is that node and no other process that was given its pid. */
export function processOf(entry: NodeEntry): ProcessState | undefined {
  if (entry.pid === null) return undefined;
  const found = findProcess(entry.pid);
  const isNode = found?.start === entry.process_start && found?.command.includes(directoryFlag(entry));
  return isNode ? found : undefined;
}

export function isRunning({ pid, start }: ProcessEntry): boolean {
  return findProcess(pid)?.start === start;
}

const directoryFlag = (entry: NodeEntry): string => `--data-dir=${entry.data_directory}`;

/** The flags of a node. What comes later wins where a setting is given twice. */
export function flagsOf(entry: NodeEntry, nodes: readonly NodeEntry[], more: readonly string[]): string[] {
  const given = (flag: string): boolean => more.some((each) => each === flag || each.startsWith(`${flag}=`));
  return [
    `--node-id=${entry.node_id}`,
    `--node-name=${entry.name}`,
    directoryFlag(entry),
    '--host=127.0.0.1',
    `--port=${portOf(entry.grpc)}`,
    `--http-port=${portOf(entry.http)}`,
    `--cluster-nodes=${nodes.map((node) => `${node.node_id}@${node.links}`).join(',')}`,
    `--cluster-link-port=${portOf(entry.links)}`,
    ...(given('--log-format') ? [] : ['--log-format=text']),
    // One directory beside those of the nodes: without a repository the log would never be trimmed.
    ...(given('--snapshots-repository')
      ? []
      : [`--snapshots-repository=${path.join(path.dirname(entry.data_directory), '..', 'snapshots')}`]),
    // To try it out: what a snapshot covers goes at once, and a node that was away begins with it.
    ...(given('--trim-delay-ms') ? [] : ['--trim-delay-ms=0']),
    ...more,
  ];
}

export const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/**
 * Starts the process of a node, in a process group of its own: a Ctrl-C is for the command that runs the cluster, which
 * stops its nodes in good order. What the node writes is appended to its log.
 */
export async function spawnNode(
  entry: NodeEntry,
  nodes: readonly NodeEntry[],
  flags: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly child: ChildProcess; readonly process: ProcessEntry }> {
  await mkdir(path.dirname(entry.log), { recursive: true });
  const log = await open(entry.log, 'a');
  try {
    const passedOn = Object.fromEntries(Object.entries(env).filter(([name]) => !notPassedOn.includes(name)));
    const { program, environment } = launcher();
    const child = spawn(process.execPath, [...program, 'server', ...flagsOf(entry, nodes, flags)], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...passedOn, ...environment },
    });
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    const pid = child.pid as number;
    return { child, process: { pid, start: findProcess(pid)?.start ?? '' } };
  } finally {
    await log.close();
  }
}

/** This very command: from its build by way of the launcher, or from its sources. */
function launcher(): { readonly program: readonly string[]; readonly environment: Record<string, string> } {
  const fromSources = import.meta.url.endsWith('.ts');
  const file = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
  if (!fromSources) return { program: [file('../../../bin/logboom.cjs')], environment: {} };
  const loader = import.meta.resolve('tsx');
  return { program: ['--import', loader, file('../main.ts')], environment: { UV_THREADPOOL_SIZE: '16' } };
}

/** Whether the node says of itself that it serves. */
export async function isReady(entry: NodeEntry): Promise<boolean> {
  try {
    const response = await fetch(`${entry.http}/readyz`, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** Resolves when the node serves. @throws CommandError with the end of its log when its process has ended; the signal's reason */
export async function untilReady(entry: NodeEntry, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await isReady(entry))) {
    signal?.throwIfAborted();
    if (!processOf(entry)) throw await startFailure(entry, 'ended while it started');
    if (performance.now() >= untilMs) throw await startFailure(entry, `does not serve after ${timeoutMs / 1000} s`);
    await sleep(pollMs, undefined, { signal });
  }
}

async function startFailure(entry: NodeEntry, what: string): Promise<CommandError> {
  const text = await readFile(entry.log, 'utf8').catch(() => '');
  const tail = text.slice(-logTailCharacters).trimEnd().split('\n').slice(-3).join(' / ');
  return new CommandError('NODE_START_FAILED', `node ${entry.name} ${what}: ${tail}`, `Its log is ${entry.log}`);
}

/** Sends a signal to the process of a node; answers whether there was one. */
export function signalNode(entry: NodeEntry, signal: NodeJS.Signals): boolean {
  if (!processOf(entry)) return false;
  try {
    return process.kill(entry.pid as number, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Resolves with whether the process is gone within the time. */
export async function untilGone(entry: NodeEntry, timeoutMs: number): Promise<boolean> {
  const untilMs = performance.now() + timeoutMs;
  while (processOf(entry)) {
    if (performance.now() >= untilMs) return false;
    await sleep(pollMs);
  }
  return true;
}

/** kill -9. @returns whether there was something to kill */
export async function killNode(entry: NodeEntry): Promise<boolean> {
  if (!signalNode(entry, 'SIGKILL')) return false;
  await untilGone(entry, killMs);
  return true;
}

/** A stop in good order; one that takes too long is ended. @returns how it ended */
export async function stopNode(entry: NodeEntry): Promise<'stopped' | 'killed' | 'did not run'> {
  // Behind the request to stop, so that it is the first thing that a paused node finds.
  const wasThere = signalNode(entry, 'SIGTERM');
  if (!wasThere) return 'did not run';
  signalNode(entry, 'SIGCONT');
  if (await untilGone(entry, stopMs)) return 'stopped';
  await killNode(entry);
  return 'killed';
}
