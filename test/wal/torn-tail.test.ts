import { describe, expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import type { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import type { Wal } from '../../src/wal/wal.js';
import { describeLog, openCopy, scanSegment, writeImage, type ScannedSegment } from './support/image.js';
import {
  appended,
  confState,
  entries,
  entry,
  hardState,
  partitionId,
  persist,
  replicaId,
} from './support/simulated.js';

/** Two partitions, four groups; the last one with small and large entries and a hard state. */
async function writeTail(wal: Wal): Promise<void> {
  const a = await wal.createPartition(partitionId(1), replicaId(1), confState(1));
  const b = await wal.createPartition(partitionId(2), replicaId(2), confState(2));
  await appended(a, entries(1, 5, 1), hardState(1, 1, 0));
  b.append(persist(entries(1, 2, 1), hardState(1, 2, 0)), () => {});
  const large = Buffer.from(Array.from({ length: 900 }, (_, at) => at % 251));
  await appended(a, [entry(6, 2, ''), entry(7, 2, 'seven'), entry(8, 2, large)], hardState(2, 3, 5));
}

const image = await writeImage(writeTail);
const segment = scanSegment(image, 1);
const lastGroup = segment.groups.at(-1) as ScannedSegment['groups'][number];
const whole = await openCopy(image, () => {}, describeLog);
const before = await openCopy(image, (disk) => replaceFrom(disk, lastGroup.offset, () => 0), describeLog);

function replaceFrom(disk: SimulatedDisk, offset: number, byteAt: (at: number) => number): void {
  const bytes = Buffer.from(segment.bytes);
  for (let at = offset; at < bytes.length; at++) bytes[at] = byteAt(at);
  disk.putFile(segment.path, bytes);
}

describe('a torn tail is cut', () => {
  test('the last group is what differs', async () => {
    expect(segment.groups.length).toBeGreaterThan(3);
    expect(whole).not.toBe(before);
    expect(whole).toContain('8/2');
    expect(before).not.toContain('6/2');
  });

  const remains: Record<string, (at: number) => number> = {
    zeros: () => 0,
    ones: () => 0xff,
    'other bytes': (at) => (at * 2_654_435_761) >>> 13,
  };
  for (const [name, byteAt] of Object.entries(remains)) {
    test(`at every byte of the last group, with ${name} behind it`, async () => {
      for (let cut = lastGroup.offset; cut < lastGroup.endOffset; cut++) {
        const same = segment.bytes
          .subarray(cut, lastGroup.endOffset)
          .every((byte, index) => byte === (byteAt(cut + index) & 0xff));
        const found = await openCopy(image, (disk) => replaceFrom(disk, cut, byteAt), describeLog);
        expect(found, `cut at ${cut}`).toBe(same ? whole : before);
      }
    });
  }

  test('whichever of its sectors are missing', async () => {
    const random = new RandomStream(7, 'sectors');
    const sectorBytes = 64;
    for (let round = 0; round < 500; round++) {
      const bytes = Buffer.from(segment.bytes);
      let missing = false;
      for (let at = lastGroup.offset - (lastGroup.offset % sectorBytes); at < lastGroup.endOffset; at += sectorBytes) {
        if (random.chance(0.5)) continue;
        const from = Math.max(at, lastGroup.offset);
        const sector = bytes.subarray(from, Math.min(at + sectorBytes, lastGroup.endOffset));
        missing ||= sector.some((byte) => byte !== 0);
        sector.fill(0);
      }
      const found = await openCopy(image, (disk) => disk.putFile(segment.path, bytes), describeLog);
      expect(found).toBe(missing ? before : whole);
    }
  });

  test('no remains of the torn group are left in the file', async () => {
    for (let cut = lastGroup.offset + 24; cut < lastGroup.endOffset; cut += 101) {
      let disk: SimulatedDisk | undefined;
      const change = (copy: SimulatedDisk): void => {
        disk = copy;
        // The middle is missing, the end is there.
        const bytes = Buffer.from(segment.bytes);
        bytes.fill(0, cut, cut + 16);
        copy.putFile(segment.path, bytes);
      };
      await openCopy(image, change, () => Promise.resolve());
      const left = Buffer.from(disk?.contents(segment.path) ?? []).subarray(lastGroup.offset, lastGroup.endOffset);
      const untouched = segment.bytes.subarray(cut, cut + 16).every((byte) => byte === 0);
      expect(left.every((byte) => byte === 0)).toBe(!untouched);
    }
  });

  test('what is appended after the cut is there after the next start, and what was cut is not', async () => {
    for (let cut = lastGroup.offset; cut < lastGroup.endOffset; cut += 37) {
      let disk: SimulatedDisk | undefined;
      await openCopy(
        image,
        (copy) => {
          disk = copy;
          replaceFrom(copy, cut, () => 0);
        },
        async (wal) => {
          const log = wal.partition(partitionId(1));
          if (log === undefined) throw new Error('partition 1 is gone');
          expect(log.lastLsn).toBe(5);
          await appended(log, [entry(6, 3, 'other')], hardState(3, 1, 5));
          await wal.stop();
        },
      );
      const found = await openCopy(disk as SimulatedDisk, () => {}, describeLog);
      expect(found).toContain('"term":3');
      expect(found).toContain('6/3');
      expect(found).not.toContain('7/');
    }
  });

  test('of the first group of a segment, too, and the segment is used afterwards', async () => {
    // Rolls into segment 2 with one group in it.
    const rolled = await writeImage(async (wal) => {
      const log = await wal.createPartition(partitionId(1), replicaId(1), confState(1));
      for (let at = 1; wal.stats.segments === 1; at++) await appended(log, entries(at, at, 1, 700));
    });
    const second = scanSegment(rolled, 2);
    expect(second.groups).toHaveLength(1);
    const [only] = second.groups as [ScannedSegment['groups'][number]];
    const all = await openCopy(rolled, () => {}, describeLog);
    for (let cut = only.offset; cut < only.endOffset; cut += 5) {
      const bytes = Buffer.from(second.bytes);
      bytes.fill(0, cut);
      if (bytes.equals(second.bytes)) continue;
      // Segment 3 is made only after the first group of segment 2 is synced; with it there, it would be damage.
      const found = await openCopy(
        rolled,
        (disk) => {
          disk.putFile(second.path, bytes);
          disk.removeNow(second.path.replace('2.wal', '3.wal'));
        },
        async (wal) => {
          const text = await describeLog(wal);
          const log = wal.partition(partitionId(1));
          if (log === undefined) throw new Error('partition 1 is gone');
          for (let more = 0; more < 30; more++) await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 700));
          await wal.stop();
          return text;
        },
      );
      expect(found).not.toBe(all);
      expect(all.startsWith(found.slice(0, 50))).toBe(true);
    }
  });
});
