/** What counts as archived, against objects that are not what it says. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import { ChunkBuilder } from '../../src/snapshot/chunk.js';
import { ArchiveChecker } from '../../cluster-sim/checkers/archive-checker.js';
import { PartitionTruth } from '../../cluster-sim/checkers/partition-truth.js';
import { Verdict } from '../../cluster-sim/checkers/verdict.js';
import { SharedObjects } from '../../cluster-sim/nodes/shared-objects.js';
import { compressRuns } from '../../cluster-sim/nodes/simulated-compressor.js';

const applied = new Map([
  [3, Uint8Array.of(1, 2, 3)],
  [7, Uint8Array.of(4, 4, 4, 4)],
]);
const manifestName = 'of-7';
const manifest = `c/1/manifests/${manifestName}`;
const confirmation = `c/1/confirmations/${manifestName}`;

/** A snapshot of LSN 7 in the repository, which holds `values`; it counts as archived. */
function archiveOf(values: ReadonlyMap<number, Uint8Array>) {
  const verdict = new Verdict(
    () => 0,
    () => {},
  );
  const objects = new SharedObjects();
  const none = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const checker = new ArchiveChecker({
    verdict,
    objects,
    clusterId: () => 'c',
    truths: new Map([[1, new PartitionTruth(none)]]),
    recordsChecksum: (_partitionId, lsn) => {
      const value = applied.get(lsn);
      return value && crc32(value);
    },
  });
  const builder = new ChunkBuilder('records');
  for (const [lsn, value] of values) builder.addRecords({ lsn: asLsn(lsn), value });
  const { content, sha256 } = builder.seal();
  expect(sha256).toBe(createHash('sha256').update(content).digest('hex'));
  const stored = compressRuns(content);
  const chunk = { name: `${sha256}-x`, bytes: content.length, storedBytes: stored.length };
  objects.put(`c/1/chunks/${chunk.name}`, [stored]);
  const text = JSON.stringify({ lsn: 7, stateHash: '0'.repeat(16), chunks: [chunk] });
  objects.put(manifest, [new TextEncoder().encode(text)]);
  objects.put(confirmation, [new TextEncoder().encode(JSON.stringify({ manifest: manifestName }))]);
  checker.archived(1, { archivedLsn: asLsn(7), manifest: manifestName, trimPoint: asLsn(0) });
  return { checker, objects, chunk: `c/1/chunks/${chunk.name}`, violation: () => verdict.violation };
}

describe('archived-is-restorable', () => {
  test('a sound snapshot may be trimmed to, and no further', () => {
    const { checker, violation } = archiveOf(applied);
    checker.trimmed(1, 'replica', 7);
    expect(violation()).toBeUndefined();
    checker.trimmed(1, 'replica', 8);
    expect(violation()?.invariant).toBe('archived-is-restorable');
  });

  test.each([
    ['a value with a bit that flipped before the snapshot was taken', 3, Uint8Array.of(1, 2, 2)],
    ['a value of an entry that has none', 5, Uint8Array.of(1)],
  ])('%s', (_what, lsn, value) => {
    const { checker, violation } = archiveOf(new Map([[lsn, value]]));
    checker.trimmed(1, 'replica', 7);
    expect(violation()?.invariant).toBe('archived-is-restorable');
    expect(violation()?.message).toContain(`other records at LSN ${lsn} than were applied`);
  });

  test('a snapshot that nobody has confirmed', () => {
    const { checker, objects, violation } = archiveOf(applied);
    objects.objects.delete(confirmation);
    checker.trimmed(1, 'replica', 7);
    expect(violation()?.message).toContain(`${confirmation} is missing`);
  });

  test('a chunk that changed in the repository, unless that was done on purpose', () => {
    const { checker, objects, chunk, violation } = archiveOf(applied);
    const { bytes = new Uint8Array() } = objects.objects.get(chunk) ?? {};
    objects.objects.set(chunk, { bytes: bytes.with(9, 7), modifiedUnixMs: 0 });
    objects.damaged.add(chunk);
    checker.trimmed(1, 'replica', 7);
    expect(violation()).toBeUndefined();
    objects.damaged.clear();
    checker.trimmed(1, 'replica', 7);
    expect(violation()?.message).toContain('is damaged');
  });
});

describe('needed-chunks-stay', () => {
  test('a chunk of the newest archived snapshot', async () => {
    const { objects, chunk, violation } = archiveOf(applied);
    await objects.delete(['c/1/chunks/another']);
    expect(violation()).toBeUndefined();
    await objects.delete([chunk]);
    expect(violation()?.invariant).toBe('needed-chunks-stay');
  });
});
