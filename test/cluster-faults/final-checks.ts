/** What is checked when everything is healed: all replicas agree, every node shows the same, and a history explains every answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { checkStream } from '../../cluster-sim/checkers/stream-model.js';
import { streamNames } from './workload.js';
import type { StreamOperation } from '../../cluster-sim/clients/history.js';
import type { Verdict } from '../../cluster-sim/checkers/verdict.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { Workload } from './workload.js';

const agreeMs = 60_000;
const readMs = 60_000;

/** Resolves when all replicas of each partition have applied the same. */
export async function replicasAgree(client: LogboomClient, verdict: Verdict, nodes: number): Promise<void> {
  const untilMs = performance.now() + agreeMs;
  for (;;) {
    const partitions = await client.cluster.partitions({ deadlineMs: 5000 }).catch(() => []);
    let isEven = partitions.length > 0;
    for (const { id, replicas } of partitions) {
      const hashes = new Map<number, string>();
      for (const { nodeId, role, fault, appliedLsn, stateHash } of replicas) {
        if (role === 'unreachable') continue;
        verdict.require(
          role !== 'stopped',
          'assertion',
          () => `partition ${id} on node ${nodeId} has stopped: ${fault}`,
        );
        const other = hashes.get(appliedLsn) ?? stateHash;
        verdict.require(
          other === stateHash,
          'equal-lsn-equal-state',
          () => `partition ${id}: two states at LSN ${appliedLsn}: ${other} and ${stateHash}`,
        );
        hashes.set(appliedLsn, stateHash);
      }
      const reached = new Set(replicas.map(({ appliedLsn, role }) => (role === 'unreachable' ? -1 : appliedLsn)));
      isEven &&= replicas.length === nodes && reached.size === 1;
    }
    if (isEven || verdict.violation !== undefined) return;
    if (performance.now() > untilMs) {
      const seen = partitions.map(({ id, replicas }) => ({
        id,
        replicas: replicas.map(({ nodeId, role, appliedLsn, fault }) => `${nodeId} ${role} ${appliedLsn} ${fault}`),
      }));
      return verdict.broken('equal-lsn-equal-state', `the replicas do not catch up: ${JSON.stringify(seen)}`);
    }
    await delay(100);
  }
}

/** All of every stream, from the beginning, through one node alone. Answers where each value is. */
export async function readBack(
  workload: Workload,
  client: LogboomClient,
  verdict: Verdict,
): Promise<Map<string, number>[]> {
  const all: Map<string, number>[] = [];
  for (const [stream, name] of streamNames.entries()) {
    const records: { seq: number; value: string }[] = [];
    const { epoch, firstSeq, nextSeq } = await client.streams.get(name, { deadlineMs: readMs });
    let expected = firstSeq;
    for await (const page of client.readPages(name, { fromSeq: firstSeq, deadlineMs: readMs })) {
      for (const { seq, value } of page) {
        verdict.require(
          seq === expected,
          'page-walks-return-each-record-once',
          () => `stream ${name}: seq ${seq} where ${expected} was to come`,
        );
        expected = seq + 1;
        records.push({ seq, value: value.toString() });
      }
    }
    workload.books.read(stream, epoch, records);
    workload.books.readBack(stream, { epoch, firstSeq, nextSeq }, records);
    all.push(new Map(records.map(({ seq, value }) => [value, seq])));
  }
  return all;
}

/**
 * An append of unknown outcome is in the stream, at a place that tells when it took effect, or it is not and never did: nothing
 * of it is under way any more. Whether the answers that clients did get agree with that is for the check to find.
 */
export function checkHistories(workload: Workload, places: readonly Map<string, number>[], verdict: Verdict): number {
  const found = new Map<StreamOperation, number | undefined>();
  for (const { operation, values } of workload.open) {
    const at = values.map((value) => places[operation.stream]?.get(value));
    const [firstSeq] = at;
    verdict.require(
      at.every((seq, index) => seq === (firstSeq === undefined ? undefined : firstSeq + index)),
      'nothing-acknowledged-is-lost',
      () => `a batch is there in part: ${values.join(', ')} at ${at.join(', ')}`,
    );
    found.set(operation, firstSeq);
  }
  const epochs = new Map<number, number>();
  for (const { stream, outcome } of workload.history.operations) {
    if (outcome?.type === 'created') epochs.set(stream, outcome.epoch);
  }
  let checked = 0;
  for (const [stream, name] of streamNames.entries()) {
    const epoch = epochs.get(stream) ?? 0;
    const operations = workload.history.operations
      .filter((operation) => operation.stream === stream && !operation.withoutEffect)
      .flatMap((operation): StreamOperation[] => {
        if (operation.outcome !== undefined) return [operation];
        const firstSeq = found.get(operation);
        return firstSeq === undefined ? [] : [{ ...operation, outcome: { type: 'appended', epoch, firstSeq } }];
      });
    const answer = checkStream(operations);
    checked += operations.length;
    if (answer.type === 'undecided') process.stderr.write(`stream ${name}: the history was left undecided\n`);
    if (answer.type !== 'violated') continue;
    const { call, outcome } = answer.stuckAt;
    verdict.broken(
      'linearizability',
      `stream ${name}: no order of ${operations.length} operations explains that ${JSON.stringify(call)} was answered ` +
        JSON.stringify(outcome),
    );
  }
  return checked;
}
