/** What requests to a replica are told when it does not take them. */
import { LogboomError } from '../base/errors.js';
import type { PartitionId, ReplicaId } from '../base/ids.js';
import type { Refusal } from '../raft/types.js';

export function leadershipLost(): LogboomError {
  return new LogboomError(
    'LEADERSHIP_LOST',
    'this replica lost its leadership while the append was under way; whether it is stored is not known here',
    { retryAfterMs: 100 },
  );
}

/** It is in the log, and `cause` holds up the state store. */
export function notApplied(cause: LogboomError): LogboomError {
  return new LogboomError('STATE_STORE_FAILED', `the append could not be applied: ${cause.message}`, {
    facts: cause.facts,
    ...(cause.retryAfterMs === undefined ? {} : { retryAfterMs: cause.retryAfterMs }),
  });
}

/** It is acknowledged, elsewhere or before this replica was started, and `cause` holds up the state store. */
export function notReadable(cause: LogboomError): LogboomError {
  return new LogboomError('STATE_STORE_FAILED', `this replica cannot show what was appended: ${cause.message}`, {
    facts: cause.facts,
    ...(cause.retryAfterMs === undefined ? {} : { retryAfterMs: cause.retryAfterMs }),
  });
}

export function shuttingDown(): LogboomError {
  return new LogboomError('SHUTTING_DOWN', 'the node is stopping; send again to another one, or later', {
    retryAfterMs: 500,
  });
}

export function partitionStopped(partitionId: PartitionId, fault: Error): LogboomError {
  if (fault instanceof LogboomError && fault.reason === 'SHUTTING_DOWN') return fault;
  return new LogboomError('PARTITION_STOPPED', `partition ${partitionId} has stopped after a fault: ${fault.message}`, {
    facts: { partition: partitionId },
    retryAfterMs: 1000,
    cause: fault,
  });
}

/** @param leader 0 when none is known */
export function notLeader(partitionId: PartitionId, leader: ReplicaId): LogboomError {
  return new LogboomError(
    'NOT_LEADER',
    leader === 0 ? `partition ${partitionId} has no leader now` : `replica ${leader} leads partition ${partitionId}`,
    { facts: { partition: partitionId, leader }, retryAfterMs: 50 },
  );
}

/** The core did not take a proposal, a configuration change or a transfer. */
export function refused(partitionId: PartitionId, { reason, leader }: Refusal): LogboomError {
  switch (reason) {
    case 'uncommitted-limit':
      return new LogboomError('QUEUE_FULL', 'the leader holds as many uncommitted bytes as it may; send again later', {
        retryAfterMs: 50,
      });
    case 'reads-limit':
      return new LogboomError('QUEUE_FULL', 'the partition has too many unconfirmed reads; send again later', {
        retryAfterMs: 50,
      });
    case 'storage-fault':
      return new LogboomError('DISK_FULL', "the leader's disk does not take writes now", { retryAfterMs: 1000 });
    case 'too-large':
      return new LogboomError('BATCH_TOO_LARGE', 'the command exceeds the limit of one log entry');
    case 'not-a-voter':
      return new LogboomError('INVALID_ARGUMENT', `leadership goes to voters of partition ${partitionId} only`, {
        facts: { partition: partitionId },
      });
    case 'not-leader':
    case 'no-leader':
    case 'transferring':
    case 'removed':
    case 'forwarded':
      return notLeader(partitionId, leader);
  }
}
