/**
 * A rolling upgrade to a build with one more command, under load: the two builds run side by side, the new command is
 * written only when every node can read it, and the old build cannot come back then.
 */
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { editedBuild } from './support/edited-build.js';
import type { Edit } from './support/edited-build.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { Settings } from './support/server-process.js';

const settings: Settings = {
  partitions: 3,
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 300 },
  disk: { lowWaterMarkBytes: 0 },
  shutdown: { drainMs: '10s' },
};
/**
 * The release after this one: it supports one more feature level, and has one more command, which it writes in the place of
 * `update-stream` once the cluster's level allows it. Whoever asks sees which one was applied: the new one adds a millisecond
 * to the retention. To a build that does not know it, it is an entry that it cannot read.
 */
const nextBuildEdits: readonly Edit[] = [
  { file: 'metadata/feature-level.js', from: 'supportedFeatureLevel = 1;', to: 'supportedFeatureLevel = 2;' },
  {
    file: 'streams/commands/codec.js',
    from: 'function decoderOf(type) {',
    to: `function decoderOf(type) {
    if (type === 99) {
        const decode = (header) => {
            const command = decodeUpdateStream(header);
            return { ...command, retentionAgeMs: command.retentionAgeMs + 1 };
        };
        return { version: 1, hasPayload: false, decode };
    }`,
  },
  {
    file: 'streams/commands/codec.js',
    from: 'function headerOf(command) {',
    to: `function headerOf(command) {
    if (command.type === 'update-stream-2') return { type: 99, version: 1, fields: encodeUpdateStream(command) };`,
  },
  {
    file: 'streams/commands/codec.js',
    from: "'update-stream': 1,",
    to: "'update-stream': 1,\n    'update-stream-2': 2,",
  },
  {
    file: 'server/services/stream-service.js',
    from: 'async #propose(replica, command) {',
    to: `async #propose(replica, command) {
        if (command.type === 'update-stream' && this.#parts.featureLevel() >= 2)
            command = { ...command, type: 'update-stream-2' };`,
  },
];

const streams = ['a', 'b', 'c', 'd', 'e', 'f'];
const retentionAgeMs = 86_400_000;

/** What the present leaders make of it: whether each wrote the old command or the new one. */
async function updatedAges(client: LogboomClient): Promise<number[]> {
  const ages = [];
  for (const stream of streams) {
    ages.push((await client.streams.update(stream, { retentionAgeMs })).retentionAgeMs);
  }
  return ages;
}

const old = streams.map(() => retentionAgeMs);
const next = streams.map(() => retentionAgeMs + 1);

test(
  'a build with one more command takes over node by node, and uses it when all can',
  { timeout: 300_000 },
  async () => {
    const nextBuild = editedBuild(nextBuildEdits);
    const cluster = await ClusterHosts.make(settings);
    await cluster.start();
    const client = cluster.client();
    for (const stream of streams) await client.streams.create(stream);

    const appended = new Map(streams.map((stream) => [stream, 0]));
    let isOver = false;
    const appending = streams.map(async (stream) => {
      const appender = await client.appender(stream, { producer: { id: `producer-of-${stream}` } });
      for (let number = 0; !isOver; number += 1) {
        await appender.append(Buffer.from(String(number)));
        appended.set(stream, number + 1);
        await pause(5);
      }
      await appender.close();
    });
    // Awaited below; what fails before that is told first.
    for (const one of appending) one.catch(() => {});

    const restart = async (id: number, program?: readonly string[]): Promise<void> => {
      if (cluster.node(id).isRunning) expect((await cluster.node(id).process.stop()).code).toBe(0);
      await cluster.node(id).spawn({}, program).started();
      await cluster.ready(undefined, 90_000);
    };
    const upgrade = (id: number): Promise<void> => restart(id, nextBuild);
    const everywhere = async (): Promise<void> => {
      // Whoever leads writes what the level allows; one after another all nodes do.
      for (const node of [1, 2, 3]) {
        for (const partition of [1, 2, 3]) await client.cluster.transferLeadership(partition, { node });
        expect(await updatedAges(client)).toEqual(old);
      }
    };

    expect(await updatedAges(client)).toEqual(old);
    await upgrade(1);
    await everywhere();
    await upgrade(3);
    await everywhere();
    const half = await client.cluster.membership();
    expect(half.featureLevel).toBe(1);
    expect(half.members.map(({ featureLevel }) => featureLevel)).toEqual([2, 1, 2]);

    // While one node is old, the new ones can go back.
    await restart(1);
    await upgrade(1);

    // An operator who wants to be able to go back a little longer.
    await client.cluster.setSetting('feature-level-max', '1');
    await upgrade(2);
    await pause(3000);
    await everywhere();
    await client.cluster.setSetting('feature-level-max', undefined);
    await until(async () => (await client.cluster.membership()).featureLevel === 2);
    await until(async () => (await updatedAges(client)).every((age) => age === retentionAgeMs + 1));
    expect(await updatedAges(client)).toEqual(next);

    // The old build, on what the new one has written: refused, and told why; nothing else suffers.
    expect((await cluster.node(2).process.stop()).code).toBe(0);
    const refused = cluster.node(2).spawn();
    const { code, signal } = await refused.exited;
    expect(signal).toBeNull();
    expect(code).not.toBe(0);
    expect(refused.log).toContain('FEATURE_LEVEL_UNSUPPORTED');
    expect(await updatedAges(client)).toEqual(next);
    await upgrade(2);

    isOver = true;
    await Promise.all(appending);
    for (const stream of streams) {
      const count = appended.get(stream) ?? 0;
      expect(count).toBeGreaterThan(20);
      const texts: string[] = [];
      for await (const { text } of client.read(stream, { fromSeq: 0 })) texts.push(text);
      expect(texts).toEqual(Array.from({ length: count }, (_, number) => String(number)));
    }
    for (const { process } of cluster.hosts) expect(process.log).not.toContain('was written by a newer version');
  },
);

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  while (!(await isTrue())) {
    if (Date.now() > deadlineMs) throw new Error('it did not come to pass within 30 s');
    await pause(100);
  }
}
