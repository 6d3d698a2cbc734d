/** A replica that has come to another state than the majority, by a defect of its build: fenced, and made anew under another id. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { editedBuild } from './support/edited-build.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import type { LogboomClient } from '../../src/client/index.js';

/** To the defect, an update with this retention is one that it stores wrongly, once in the life of a process and partition. */
const trigger = 86_400_321;
const defect = {
  file: 'streams/commands/update-stream.js',
  from: 'export function applyUpdateStream(command, context) {',
  to: `const spoiled = new Set();
export function applyUpdateStream(command, context) {
    const name = context.streams.applyingById(command.streamId)?.name;
    if (command.retentionAgeMs === ${trigger} && !spoiled.has(name)) {
        spoiled.add(name);
        command = { ...command, retentionAgeMs: 1_000_000 };
    }`,
};

test(
  'replicas that diverge, leading and following, are made anew; nothing is lost, and all are equal',
  { timeout: 200_000 },
  async () => {
    const repository = path.join(temporaryDirectory(), 'repository');
    const cluster = await ClusterHosts.make({
      partitions: 2,
      stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 300 },
      disk: { lowWaterMarkBytes: 0 },
      snapshots: { repository, maxAgeMs: '1h' },
    });
    const defective = editedBuild([defect]);
    for (const id of [1, 2]) cluster.node(id).spawn();
    cluster.node(3).spawn({}, defective);
    await Promise.all(cluster.hosts.map((host) => host.process.started()));
    await cluster.ready();
    const client = cluster.client();
    await client.cluster.setSetting('leader-return-delay-ms', '3600000');
    const streamOf = new Map<number, string>();
    for (let number = 0; streamOf.size < 2; number += 1) {
      const { name, partition } = await client.streams.create(`stream-${number}`);
      if (!streamOf.has(partition)) streamOf.set(partition, name);
    }
    for (const stream of streamOf.values()) await client.append(stream, [Buffer.from('before')]);

    // Partition 1 is led by the defective node, which follows in partition 2.
    await until(async () => {
      await client.cluster.transferLeadership(1, { node: 3 });
      await client.cluster.transferLeadership(2, { node: 1 });
      // What was decided before leaderships were held may still come.
      await pause(1000);
      return (await cluster.leaderOf(1, client)) === 3 && (await cluster.leaderOf(2, client)) === 1;
    });
    for (const [partition, stream] of streamOf) {
      expect((await client.streams.update(stream, { retentionAgeMs: trigger })).retentionAgeMs).toBe(
        partition === 1 ? 1_000_000 : trigger,
      );
      await client.append(stream, [Buffer.from('between')]);
    }
    const before = await replicasOn(client, 3);
    for (const partition of [1, 2]) {
      // Of a leader that finds out about itself the call fails.
      await client.cluster.createSnapshot(partition).catch((error: unknown) => {
        expect(partition).toBe(1);
        expect(String(error)).toContain('is not that of the majority');
      });
    }
    const defectiveProcess = cluster.node(3).process;
    await until(async () => {
      const replicas = await replicasOn(client, 3);
      return [...before].every(([partition, replicaId]) => (replicas.get(partition) ?? 0) > replicaId);
    });
    expect(defectiveProcess.hasExited).toBe(false);
    await cluster.ready(undefined, 60_000);
    for (const [, stream] of streamOf) await client.append(stream, [Buffer.from('after')]);

    // Until its group has it as a voter, it cannot lead.
    await until(async () => {
      const { placements } = await client.cluster.membership();
      return placements.every(({ replicas }) => replicas.every(({ state }) => state === 'settled'));
    });
    await until(() => areEqual(client));
    for (const partition of [1, 2]) await client.cluster.transferLeadership(partition, { node: 3 });
    for (const stream of streamOf.values()) {
      expect((await client.streams.get(stream)).retentionAgeMs).toBe(trigger);
      const texts: string[] = [];
      for await (const { text } of client.read(stream, { fromSeq: 0 })) texts.push(text);
      expect(texts).toEqual(['before', 'between', 'after']);
    }
    for (const partition of [1, 2]) {
      expect(existsSync(path.join(cluster.node(3).dataDirectory, 'diverged', String(partition)))).toBe(true);
    }
  },
);

async function replicasOn(client: LogboomClient, node: number): Promise<Map<number, number>> {
  const partitions = await client.cluster.partitions();
  return new Map(
    partitions.flatMap(({ id, replicas }) => {
      const ids = replicas.filter(({ nodeId }) => nodeId === node).map(({ replicaId }) => replicaId);
      return ids.length === 0 ? [] : [[id, Math.max(...ids)] as const];
    }),
  );
}

/** Each partition has three replicas with one state at one LSN. */
async function areEqual(client: LogboomClient): Promise<boolean> {
  const partitions = await client.cluster.partitions();
  return partitions.every(({ replicas }) => {
    const states = new Set(replicas.map(({ appliedLsn, stateHash }) => `${appliedLsn} ${stateHash}`));
    return replicas.length === 3 && states.size === 1 && replicas.every(({ fault }) => fault === '');
  });
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 60_000;
  while (!(await isTrue().catch(() => false))) {
    if (Date.now() > deadlineMs) throw new Error('it did not come to pass within 60 s');
    await pause(200);
  }
}
