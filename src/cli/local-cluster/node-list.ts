/** `nodes.json`: the nodes of a local cluster, as commands that act on them and people find them. */
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from '../failure.js';

/**
 * - `starting` the process runs, and does not serve yet
 * - `running` it serves, or did when it was last looked at
 * - `paused` it is stopped in its tracks (SIGSTOP), with its connections open
 * - `stopped` it ended as it was asked to, with everything on disk
 * - `killed` it was killed by `cluster local kill`
 * - `exited` it ended by itself: its log says why
 */
export type NodeState = 'starting' | 'running' | 'paused' | 'stopped' | 'killed' | 'exited';

/** A process, and when it began: a pid alone may belong to another process by now. */
export interface ProcessEntry {
  readonly pid: number;
  readonly start: string;
}

/** Names as in the file. */
export interface NodeEntry {
  readonly name: string;
  readonly node_id: number;
  readonly state: NodeState;
  readonly pid: number | null;
  /** When the process began, in the system's own units. */
  readonly process_start: string | null;
  readonly grpc: string;
  readonly http: string;
  readonly links: string;
  readonly data_directory: string;
  readonly log: string;
}

export interface NodeList {
  readonly version: 1;
  /** Of gRPC of the first node. */
  readonly port: number;
  /** The command that runs the cluster; null when none does. */
  readonly supervisor: ProcessEntry | null;
  /** Flags that every node is started with, besides its own. */
  readonly flags: readonly string[];
  readonly nodes: readonly NodeEntry[];
}

const lockWaitMs = 5000;
/** Longer than any change takes. */
const staleLockMs = 3000;

/**
 * Read and changed by several processes: the one that runs the cluster, and those that act on its nodes. A change is made
 * under a lock, and becomes visible all at once.
 */
export class NodeListFile {
  readonly directory: string;
  readonly #path: string;

  constructor(directory: string) {
    this.directory = path.resolve(directory);
    this.#path = path.join(this.directory, 'nodes.json');
  }

  /** Undefined when there is none. @throws CommandError when it is not what this version writes */
  async read(): Promise<NodeList | undefined> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const list = parse(text);
    if (list) return list;
    throw new CommandError(
      'NODES_FILE_INVALID',
      `${this.#path} is not a list of nodes that this version has written`,
      'Choose another directory with --data-dir, or remove this one.',
    );
  }

  async write(list: NodeList): Promise<void> {
    await mkdir(this.directory, { recursive: true });
    await this.#locked(() => this.#replace(list));
  }

  /** Changes the entry of one node, from what it is by then. */
  async update(name: string, change: (entry: NodeEntry) => Partial<NodeEntry>): Promise<NodeEntry> {
    return this.#locked(async () => {
      const list = await this.read();
      const index = list?.nodes.findIndex((node) => node.name === name) ?? -1;
      const entry = list?.nodes[index];
      if (!list || !entry) throw new CommandError('NODE_NOT_FOUND', `there is no node ${name} in ${this.#path}`);
      const changed = { ...entry, ...change(entry) };
      await this.#replace({ ...list, nodes: list.nodes.with(index, changed) });
      return changed;
    });
  }

  /** Nobody runs the cluster any more. */
  async release(): Promise<void> {
    await this.#locked(async () => {
      const list = await this.read();
      if (list) await this.#replace({ ...list, supervisor: null });
    });
  }

  async #replace(list: NodeList): Promise<void> {
    const temporary = `${this.#path}.new`;
    await writeFile(temporary, `${JSON.stringify(list, null, 2)}\n`);
    await rename(temporary, this.#path);
  }

  async #locked<Result>(action: () => Promise<Result>): Promise<Result> {
    const lock = `${this.#path}.lock`;
    const untilMs = Date.now() + lockWaitMs;
    while (!(await tryLock(lock))) {
      // Left behind by a process that was killed in the middle of a change.
      if (await isOlder(lock, staleLockMs)) await rm(lock, { force: true });
      else if (Date.now() >= untilMs) throw new CommandError('NODES_FILE_BUSY', `${lock} is held by another process`);
      else await sleep(20);
    }
    try {
      return await action();
    } finally {
      await rm(lock, { force: true });
    }
  }
}

function parse(text: string): NodeList | undefined {
  try {
    const { version, nodes } = JSON.parse(text) as Partial<NodeList>;
    const isList = Array.isArray(nodes) && nodes.every((node: NodeEntry) => typeof node.name === 'string');
    return version === 1 && isList ? (JSON.parse(text) as NodeList) : undefined;
  } catch {
    return undefined;
  }
}

async function tryLock(lock: string): Promise<boolean> {
  try {
    await (await open(lock, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function isOlder(file: string, ageMs: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(file)).mtimeMs > ageMs;
  } catch {
    return false;
  }
}
