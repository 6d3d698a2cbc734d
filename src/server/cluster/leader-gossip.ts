/**
 * Who leads which partition, as the leaders themselves tell every node: a node that has no replica of a partition hears of its
 * elections in no other way. What is told is a hint; whoever is sent to a node that does not lead is refused there.
 */
import { isLogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { CallMethod } from '../../transport/index.js';

export const leadersMethod = 'leaders';

/** A message that was lost is made up for by the next one. */
const repeatMs = 2000;
const requestBytesMax = 256 * 1024;

export interface Led {
  readonly partitionId: PartitionId;
  /** Raft's; of two nodes that say they lead, the one with the higher is right. */
  readonly term: number;
  /** What holds up the group on its way to its placement, in a word; empty when nothing does. */
  readonly waitsFor: string;
}

export interface LeaderGossipParts {
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  /** What this node leads. */
  readonly led: () => readonly Led[];
  readonly peers: () => readonly NodeId[];
  readonly call: (nodeId: NodeId, request: Uint8Array) => Promise<unknown>;
}

export class LeaderGossip {
  readonly #parts: LeaderGossipParts;
  readonly #stopping = new AbortController();
  readonly #told = new Map<NodeId, readonly Led[]>();
  readonly #watchers = new Set<() => void>();
  #wake: (() => void) | undefined;
  #isDue = false;
  #loop: Promise<void> | undefined;

  constructor(parts: LeaderGossipParts) {
    this.#parts = parts;
  }

  run(): void {
    this.#loop = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    await this.#loop;
  }

  /** What this node leads has changed. */
  changed(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  /** The node that says it leads, of the newest term; of others than this one. */
  leaderOf(partitionId: PartitionId): NodeId | undefined {
    return this.#newest(partitionId)?.nodeId;
  }

  termOf(partitionId: PartitionId): number {
    return this.#newest(partitionId)?.term ?? 0;
  }

  waitReason(partitionId: PartitionId): string {
    return this.#newest(partitionId)?.waitsFor ?? '';
  }

  #newest(partitionId: PartitionId): (Led & { readonly nodeId: NodeId }) | undefined {
    let newest: (Led & { readonly nodeId: NodeId }) | undefined;
    for (const [nodeId, led] of this.#told) {
      const found = led.find((one) => one.partitionId === partitionId);
      if (found !== undefined && found.term > (newest?.term ?? -1)) newest = { ...found, nodeId };
    }
    return newest;
  }

  /** Calls back after another node has told something new, until the answered function is called. */
  watch(onChange: () => void): () => void {
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  get handler(): CallMethod {
    return {
      kind: 'unary',
      access: 'members',
      requestBytesMax,
      handle: async (request, { hello }) => {
        if (hello.nodeId !== undefined) this.#onTold(hello.nodeId, decode(request));
        return new Uint8Array(0);
      },
    };
  }

  #onTold(nodeId: NodeId, led: readonly Led[]): void {
    const isNew = JSON.stringify(this.#told.get(nodeId)) !== JSON.stringify(led);
    this.#told.set(nodeId, led);
    if (isNew) for (const watcher of [...this.#watchers]) watcher();
  }

  async #repeat(): Promise<void> {
    const { environment, led, peers, call } = this.#parts;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#isDue = false;
      const request = new TextEncoder().encode(
        JSON.stringify(led().map(({ partitionId, term, waitsFor }) => [partitionId, term, waitsFor])),
      );
      // Not waited for: a node that does not answer must not keep the others from hearing of the next change.
      for (const nodeId of peers()) {
        call(nodeId, request).catch((error: unknown) => {
          if (!isLogboomError(error)) environment.logger.error('leaders could not be told', { node: nodeId, error });
        });
      }
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (this.#isDue) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(this.#parts.environment.clock, repeatMs, woken.signal);
    this.#wake = undefined;
  }
}

function decode(request: Uint8Array): Led[] {
  const list = JSON.parse(new TextDecoder().decode(request)) as [number, number, string][];
  return list.map(([partitionId, term, waitsFor]) => ({ partitionId: partitionId as PartitionId, term, waitsFor }));
}
