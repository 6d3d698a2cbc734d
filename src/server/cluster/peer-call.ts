/** The call by which a replica asks another one of its group for a snapshot of its state. docs/formats/links.md */
import { readUint32, writeUint32 } from '../../base/bytes.js';
import { LogboomError } from '../../base/errors.js';
import { asPartitionId } from '../../base/ids.js';
import type { PartitionId } from '../../base/ids.js';
import type { CallMethod } from '../../transport/index.js';
import type { NodeManager } from '../replicas.js';

export const peerSnapshotMethod = 'peer-snapshot';

const headerBytes = 4;
const requestBytesMax = 4096;

/** `u32 partition`, big-endian, and what its replica is asked. */
export function encodePeerCall(partitionId: PartitionId, request: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + request.length);
  writeUint32(bytes, 0, partitionId);
  bytes.set(request, headerBytes);
  return bytes;
}

/** @param manager of this node */
export function peerSnapshotHandler(manager: () => NodeManager | undefined): CallMethod {
  return {
    kind: 'unary',
    access: 'members',
    requestBytesMax,
    handle: async (bytes, { signal }) => {
      if (bytes.length < headerBytes) throw new LogboomError('LINK_CORRUPT', 'the bytes are no request for a snapshot');
      const partitionId = asPartitionId(readUint32(bytes, 0));
      const answered = await manager()?.answer(partitionId, bytes.subarray(headerBytes), signal);
      if (answered !== undefined) return answered;
      throw new LogboomError('PARTITION_NOT_FOUND', `partition ${partitionId} is not here yet: the node is starting`, {
        facts: { partition: partitionId },
        retryAfterMs: 1000,
      });
    },
  };
}
