/** A client in another language, on code generated from proto/: examples/python against a cluster, with failovers. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ClusterHosts } from './support/cluster-hosts.js';
import { python, PythonExample } from './support/python-example.js';
import { temporaryDirectory } from './support/temporary-directory.js';

if (python === undefined) {
  console.warn(
    'python: NOT TESTED: the packages of the example are not installed (node scripts/ci-services.mjs does).',
  );
  test.runIf(process.env['LOGBOOM_CI_PYTHON'] === 'required')('the packages are installed, as CI needs them', () => {
    expect.unreachable('node scripts/ci-services.mjs did not install them, or was not run');
  });
}

const lineCount = 60_000;
// Bytes that are no text, empty lines, and one that fills a page with others.
const lineOf = (index: number): Buffer => {
  if (index % 1000 === 999) return Buffer.alloc(0);
  if (index === 500) return Buffer.alloc(200_000, 'x');
  return Buffer.concat([
    Buffer.from(`line ${index} `),
    Buffer.from([0xff, 0x00, index & 0x7f || 1]),
    Buffer.from('\r'),
  ]);
};
const lines = Array.from({ length: lineCount }, (_, index) =>
  // A line feed would end the record.
  Buffer.from(lineOf(index).map((byte) => (byte === 0x0a ? 0x0b : byte))),
);
const joined = (records: readonly Buffer[]): Buffer =>
  Buffer.concat(records.flatMap((line) => [line, Buffer.from('\n')]));

describe.skipIf(python === undefined)('the Python client', () => {
  test('appends, reads both ways, tails and explains refusals, while leaders die', async () => {
    const cluster = await ClusterHosts.make({ partitions: 2, disk: { lowWaterMarkBytes: 0 } });
    await cluster.start();
    const client = cluster.client();
    const addresses = cluster.hosts.map(({ address }) => address);
    const example = new PythonExample(addresses);
    const file = path.join(temporaryDirectory(), 'lines');
    const content = joined(lines);
    writeFileSync(file, content);
    const append = ['append', 's', file, '--producer', 'p', '--batch', '100'];
    const stored = (): Promise<number> => client.streams.get('s').then(({ nextSeq }) => nextSeq);
    const { partition } = await client.streams.create('s');

    // A tail that begins before there is anything, and lives over what follows.
    const tail = example.start(['tail', 's', '--from', '0', '-n', String(lineCount)]);

    // Killed half-way, and run again: the rest is appended. Meanwhile the leader is killed, twice.
    const first = example.start(append);
    await expect.poll(stored, { timeout: 30_000, interval: 5 }).toBeGreaterThan(500);
    first.kill();
    await first.finished;
    const cut = await stored();
    expect(cut).toBeLessThan(lineCount);
    const second = example.start([...append, '--zstd']);
    for (const share of [0.3, 0.6]) {
      await expect.poll(stored, { timeout: 30_000, interval: 5 }).toBeGreaterThan(lineCount * share);
      const leader = cluster.node(await cluster.leaderOf(partition, client));
      await leader.process.kill();
      const before = await stored();
      await expect.poll(stored, { timeout: 30_000, interval: 5 }).toBeGreaterThan(before);
      await leader.start();
      await cluster.ready();
    }
    const appended = await second.finished;
    expect([appended.code, appended.stderr]).toEqual([0, '']);
    const report = JSON.parse(appended.stdout.toString()) as { appended: number; skipped: number };
    expect(report).toMatchObject({ appended: lineCount - report.skipped });
    expect(report.skipped).toBeGreaterThanOrEqual(cut);
    // All of it once more, as after a restart: nothing is appended.
    expect(JSON.parse((await example.run(append)).toString())).toMatchObject({ appended: 0, skipped: lineCount });

    // Through every node, of which at most one leads the partition; in pages that cut batches.
    for (const address of addresses)
      expect((await example.run(['read', 's', '--page', '777'], address)).equals(content), address).toBe(true);
    const backward = await example.run(['read', 's', '--backward', '--page', '130']);
    expect(backward.equals(joined(lines.toReversed()))).toBe(true);
    const tailed = await tail.finished;
    expect([tailed.code, tailed.stderr]).toEqual([0, '']);
    expect(tailed.stdout.equals(content)).toBe(true);

    // The TypeScript client sees the same.
    const read: Buffer[] = [];
    for await (const { value } of client.read('s')) read.push(Buffer.from(value));
    expect(joined(read).equals(content)).toBe(true);

    const refusalOf = async (...args: string[]): Promise<unknown> => {
      const { code, stderr } = await example.start(args).finished;
      expect(code).toBe(1);
      return JSON.parse(stderr);
    };
    expect(await refusalOf('read', 's', '--from', String(lineCount + 1))).toMatchObject({
      reason: 'SEQ_BEYOND_END',
      facts: { seq: String(lineCount + 1), next_seq: String(lineCount) },
    });
    expect(await refusalOf('read', 'no-such-stream')).toMatchObject({ reason: 'STREAM_NOT_FOUND' });
    expect(await refusalOf('read', 's', '--page', '10001')).toMatchObject({ reason: 'INVALID_ARGUMENT' });
    const oversize = path.join(temporaryDirectory(), 'oversize');
    writeFileSync(oversize, Buffer.alloc(2_000_000, 'x'));
    expect(await refusalOf('append', 's', oversize, '--producer', 'q')).toMatchObject({
      reason: 'RECORD_TOO_LARGE',
      facts: { bytes_max: '1048576' },
    });
  });
});
