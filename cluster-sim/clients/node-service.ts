/** What a node does for a request, as `src/server/services` does it: checks, routes, proposes, reads. */
import { crc32 } from 'node:zlib';
import { asPartitionId } from '../../src/base/ids.js';
import { nextIdentity } from '../../src/base/ports/random.js';
import {
  appendCommand,
  createStreamCommand,
  defaultStreamsLimits,
  deleteStreamCommand,
  encodeCommand,
  expectResult,
  PageReader,
  parseRecordBatch,
  requireStream,
  verifyBatch,
  type AppendConditions,
  type Page,
  type ReadPageRequest,
  type StreamsCommand,
  type StreamsResult,
  type StreamView,
} from '../../src/streams/index.js';
import type { AppendedResult } from '../../src/streams/types.js';
import type { StreamPlan } from '../plan.js';
import { SimulatedCompressor } from '../nodes/simulated-compressor.js';
import { AppliedCommands } from './observed-machine.js';
import type { Serving } from './calls.js';

const limits = defaultStreamsLimits;

/** Told the key of each command as it is proposed, so that its fate can be looked up should the answer be lost. */
export type OnProposed = (commandKey: number) => void;

export async function append(
  serving: Serving,
  stream: StreamPlan,
  batchBytes: Uint8Array,
  conditions: AppendConditions,
  onProposed: OnProposed,
): Promise<AppendedResult> {
  const replica = serving.manager.replicaOf(asPartitionId(stream.partition));
  const compressor = new SimulatedCompressor(serving.node.clock);
  const batch = await verifyBatch(parseRecordBatch(batchBytes), { compressor, crc32, limits });
  const command = await fromNewest(replica, () =>
    appendCommand(requireStream(replica.machine, stream.name), batch, conditions, limits),
  );
  return expectResult(await propose(serving, stream, command, onProposed), 'appended');
}

export async function createStream(serving: Serving, stream: StreamPlan, onProposed: OnProposed): Promise<StreamView> {
  const { name, retentionBytes, retentionAgeMs } = stream;
  const request = { name, config: { retentionBytes, retentionAgeMs }, fencingToken: '', ifNotExists: true };
  const epoch = nextIdentity(serving.node.serviceRandom);
  const command = createStreamCommand(request, epoch, limits);
  return expectResult(await propose(serving, stream, command, onProposed), 'stream-created').stream;
}

export async function deleteStream(serving: Serving, stream: StreamPlan, onProposed: OnProposed): Promise<void> {
  const replica = serving.manager.replicaOf(asPartitionId(stream.partition));
  const command = await fromNewest(replica, () => deleteStreamCommand(requireStream(replica.machine, stream.name)));
  expectResult(await propose(serving, stream, command, onProposed), 'stream-deleted');
}

/** A page that shows everything acknowledged before the call. */
export async function readPage(serving: Serving, stream: StreamPlan, request: ReadPageRequest): Promise<Page> {
  const replica = serving.manager.replicaOf(asPartitionId(stream.partition));
  await replica.awaitLinearizable();
  const compressor = new SimulatedCompressor(serving.node.clock);
  return new PageReader({ machine: replica.machine, compressor, crc32 }).readPage(replica.reader, stream.name, request);
}

/** The stream as it is; undefined when there is none. Shows everything acknowledged before the call. */
export async function getStream(serving: Serving, stream: StreamPlan): Promise<StreamView | undefined> {
  const replica = serving.manager.replicaOf(asPartitionId(stream.partition));
  await replica.awaitLinearizable();
  return replica.machine.streamByName(stream.name);
}

/**
 * What the state of this moment refuses is refused only if the newest state does, too: a follower, or a leader that has
 * just been elected, may not have applied yet what was acknowledged before.
 */
async function fromNewest<Command>(
  replica: { awaitLinearizable(): Promise<void> },
  make: () => Command,
): Promise<Command> {
  try {
    return make();
  } catch {
    await replica.awaitLinearizable();
    return make();
  }
}

async function propose(
  serving: Serving,
  stream: StreamPlan,
  command: StreamsCommand,
  onProposed: OnProposed,
): Promise<StreamsResult> {
  const replica = serving.manager.replicaOf(asPartitionId(stream.partition));
  const bytes = encodeCommand(command, { timeMs: Math.floor(serving.node.clock.wallMs()) });
  onProposed(AppliedCommands.keyOf(bytes));
  return (await replica.propose(bytes)).result;
}
