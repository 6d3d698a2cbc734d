/** The call by which the leader of the metadata asks a leader to hand over. */
import { z } from 'zod';
import { asPartitionId, asReplicaId } from '../../base/ids.js';
import { LogboomError } from '../../base/errors.js';
import type { PartitionId } from '../../base/ids.js';
import type { CallMethod } from '../../transport/index.js';
import type { NodeReplica } from '../replicas.js';

export const transferMethod = 'transfer-leader';

const requestBytesMax = 1024;
/** Less than the call waits for its answer. */
const handOverMs = 1500;

const requestSchema = z.object({
  partitionId: z.int().min(0).transform(asPartitionId),
  replicaId: z.int().min(1).transform(asReplicaId),
});
export type TransferRequest = z.infer<typeof requestSchema>;

export const encodeTransferRequest = (request: TransferRequest): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(request));

/** @param replicaOf of this node */
export function transferHandler(replicaOf: (partitionId: PartitionId) => NodeReplica | undefined): CallMethod {
  return {
    kind: 'unary',
    access: 'members',
    requestBytesMax,
    handle: async (bytes) => {
      await handOverHere(replicaOf, requestSchema.parse(JSON.parse(new TextDecoder().decode(bytes))));
      return new Uint8Array(0);
    },
  };
}

/** Resolves when the other replica leads. @throws LogboomError NOT_LEADER, or why it cannot lead now */
export async function handOverHere(
  replicaOf: (partitionId: PartitionId) => NodeReplica | undefined,
  { partitionId, replicaId }: TransferRequest,
): Promise<void> {
  const replica = replicaOf(partitionId);
  if (replica === undefined) {
    throw new LogboomError('NOT_LEADER', `partition ${partitionId} has no replica here`, {
      facts: { partition: partitionId },
      retryAfterMs: 1000,
    });
  }
  await replica.handOver(replicaId, { timeoutMs: handOverMs });
}
