import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { isLogboomError, type LogboomError } from '../../src/base/errors.js';
import { trailerBytes } from '../../src/wal/segment-format.js';
import type { Wal } from '../../src/wal/wal.js';
import { describeLog, imageOptions, openCopy, scanSegment, segmentPaths, writeImage } from './support/image.js';
import {
  appended,
  confState,
  entries,
  hardState,
  lsn,
  partitionId,
  persist,
  readAll,
  replicaId,
} from './support/simulated.js';

async function writeSome(wal: Wal): Promise<void> {
  const a = await wal.createPartition(partitionId(1), replicaId(1), confState(1, 2, 3));
  const b = await wal.createPartition(partitionId(2), replicaId(2), confState(2));
  await appended(a, entries(1, 4, 1), hardState(1, 1, 0));
  b.append(persist(entries(1, 3, 1, 33), hardState(1, 2, 0)), () => {});
  await appended(a, entries(3, 5, 2, 200), hardState(2, 3, 2));
  a.setTrimPoint(lsn(2), confState(1, 2));
  await appended(b, entries(4, 4, 1, 500), hardState(1, 2, 3));
  await appended(a, entries(6, 6, 2), hardState(2, 3, 5));
}

async function writeSegments(wal: Wal): Promise<void> {
  await writeSome(wal);
  const a = wal.partition(partitionId(1));
  if (a === undefined) throw new Error('partition 1 is gone');
  while (wal.stats.segments < 4) await appended(a, entries(a.lastLsn + 1, a.lastLsn + 3, 2, 300));
}

async function refusal(work: () => Promise<unknown>): Promise<LogboomError> {
  try {
    const result = await work();
    throw new Error(`not refused: ${String(result)}`);
  } catch (error) {
    if (isLogboomError(error)) return error;
    throw error;
  }
}

const flip =
  (path: string, offset: number) =>
  (disk: SimulatedDisk): void =>
    disk.flipBit(path, offset, offset % 8);

describe('damage before the tail is refused', async () => {
  const image = await writeImage(writeSome);
  const tail = scanSegment(image, 1);
  const last = tail.groups.at(-1);
  const tailOffset = last?.offset ?? 0;

  test('a flipped bit in any byte of header, frames, payloads, padding and group ends', async () => {
    expect(tail.groups.length).toBeGreaterThan(4);
    const frames = tail.groups.flatMap((group) => [
      ...group.frames,
      { offset: group.frames.at(-1)?.endOffset ?? group.offset },
    ]);
    for (let offset = 0; offset < tailOffset; offset++) {
      const error = await refusal(() => openCopy(image, flip(tail.path, offset), describeLog));
      expect(error.reason, `bit flipped at ${offset}`).toBe('WAL_CORRUPT');
      const expected = offset < 4096 ? 0 : frames.findLast((frame) => frame.offset <= offset)?.offset;
      expect(error.facts, `bit flipped at ${offset}`).toEqual({ file: tail.path, offset: expected });
      expect(error.message).toContain('replace this node');
    }
  });

  test('many zeroed, misplaced and overwritten sectors', async () => {
    for (let offset = 4096; offset + 512 <= tailOffset; offset += 40) {
      const zeroed = Buffer.from(tail.bytes);
      zeroed.fill(0, offset, offset + 512);
      // A write that went astray: the last group's bytes in an earlier place.
      const astray = Buffer.from(tail.bytes);
      tail.bytes.copy(astray, offset, tailOffset, last?.endOffset);
      for (const bytes of [zeroed, astray]) {
        const error = await refusal(() => openCopy(image, (disk) => disk.putFile(tail.path, bytes), describeLog));
        expect(error.reason, `at ${offset}`).toBe('WAL_CORRUPT');
      }
    }
  });

  test('a refused log is left as it was found', async () => {
    let disk: SimulatedDisk | undefined;
    await refusal(() =>
      openCopy(
        image,
        (copy) => {
          disk = copy;
          copy.flipBit(tail.path, 4200, 1);
        },
        describeLog,
      ),
    );
    const expected = Buffer.from(tail.bytes);
    expected[4200] = (expected[4200] as number) ^ 2;
    expect(Buffer.compare(disk?.contents(tail.path) ?? Buffer.alloc(0), expected)).toBe(0);
  });

  test('after a clean stop every byte of every entry is before the tail', async () => {
    const stopped = await writeImage(async (wal) => {
      await writeSome(wal);
      await wal.stop();
    });
    const segment = scanSegment(stopped, 1);
    expect(segment.groups.at(-1)?.frames).toEqual([]);
    const guard = segment.groups.at(-1)?.offset ?? 0;
    const lastWritten = segment.groups.at(-2)?.offset ?? 0;
    for (let offset = lastWritten; offset < guard; offset++) {
      const error = await refusal(() => openCopy(stopped, flip(segment.path, offset), describeLog));
      expect(error.reason, `bit flipped at ${offset}`).toBe('WAL_CORRUPT');
    }
    const whole = await openCopy(stopped, () => {}, describeLog);
    for (let offset = guard; offset < guard + 48; offset++) {
      expect(await openCopy(stopped, flip(segment.path, offset), describeLog)).toBe(whole);
    }
  });
});

describe('sealed segments', async () => {
  const image = await writeImage(writeSegments);
  const paths = segmentPaths(image);
  const whole = await openCopy(image, () => {}, describeLog);
  const first = scanSegment(image, 1);

  test('there are some', async () => {
    expect(paths.length).toBeGreaterThanOrEqual(4);
  });

  test('a damaged footer costs a scan, not the log', async () => {
    const end = first.groups.at(-1)?.endOffset ?? 0;
    let damagedBytes = 0;
    for (let offset = first.bytes.length - 1; offset >= end; offset--) {
      if (offset < first.bytes.length - trailerBytes && first.bytes[offset] === 0) continue;
      damagedBytes++;
      expect(await openCopy(image, flip(first.path, offset), describeLog), `bit flipped at ${offset}`).toBe(whole);
    }
    expect(damagedBytes).toBeGreaterThan(2 * trailerBytes);
  });

  test('a footer that was damaged is written again', async () => {
    let disk: SimulatedDisk | undefined;
    await openCopy(
      image,
      (copy) => {
        disk = copy;
        copy.flipBit(first.path, first.bytes.length - 1, 0);
      },
      async (wal) => {
        expect(await describeLog(wal)).toBe(whole);
        await wal.stop();
      },
    );
    expect(Buffer.compare(disk?.contents(first.path) ?? Buffer.alloc(0), first.bytes)).toBe(0);
  });

  test('a damaged footer and damage before it together are refused', async () => {
    const end = first.groups.at(-1)?.endOffset ?? 0;
    for (let offset = 4096; offset < end; offset += 11) {
      const damage = (disk: SimulatedDisk): void => {
        disk.flipBit(first.path, first.bytes.length - trailerBytes, 3);
        disk.flipBit(first.path, offset, 5);
      };
      const error = await refusal(() => openCopy(image, damage, describeLog));
      expect(error.reason, `at ${offset}`).toBe('WAL_CORRUPT');
      expect(error.facts['file']).toBe(first.path);
    }
  });

  test('a flipped bit in an entry is found when it is read, naming file and offset', async () => {
    let entriesSeen = 0;
    for (const group of first.groups) {
      for (const frame of group.frames) {
        if (frame.type !== 3) continue;
        entriesSeen++;
        for (let offset = frame.offset; offset < frame.endOffset; offset += 3) {
          const outcome = await openCopy(image, flip(first.path, offset), async (wal) => {
            for (const id of wal.partitionIds) {
              const log = wal.partition(id);
              const error: unknown = await (log === undefined ? Promise.resolve() : readAll(log)).then(
                () => undefined,
                (reason: unknown) => reason,
              );
              if (error !== undefined) return error;
            }
            return undefined;
          });
          // A frame that a later one replaced, or that lies below the trim point, is never read.
          if (outcome === undefined) continue;
          expect(isLogboomError(outcome, 'DATA_CORRUPT')).toBe(true);
          expect((outcome as LogboomError).facts).toMatchObject({ file: first.path, offset: frame.offset });
        }
      }
    }
    expect(entriesSeen).toBeGreaterThan(10);
  });

  test('a missing, emptied, shortened, renamed or exchanged segment is refused', async () => {
    const remove = (disk: SimulatedDisk, path: string): void => {
      const copy = disk.contents(path);
      disk.putFile(`${path}.away`, copy);
      disk.removeNow(path);
    };
    const [one, two, three] = paths as [string, string, string];
    const cases: Record<string, (disk: SimulatedDisk) => void> = {
      'the second is missing': (disk) => remove(disk, two),
      'the first is missing': (disk) => remove(disk, one),
      'the second is empty': (disk) => disk.putFile(two, new Uint8Array()),
      'the second is shorter': (disk) => disk.putFile(two, disk.contents(two).subarray(0, 10_000)),
      'two are exchanged': (disk) => {
        const [a, b] = [disk.contents(one), disk.contents(two)];
        disk.putFile(one, b);
        disk.putFile(two, a);
      },
      'one is a copy of another': (disk) => disk.putFile(three, disk.contents(two)),
      'the last one in use is missing': (disk) => remove(disk, paths.at(-2) ?? ''),
    };
    for (const [name, damage] of Object.entries(cases)) {
      const error = await refusal(() => openCopy(image, damage, describeLog));
      expect(error.reason, name).toBe('WAL_CORRUPT');
    }
  });

  test('a segment of another log is refused, whichever it is', async () => {
    const other = await writeImage(writeSegments, imageOptions, 2);
    for (const path of paths.slice(0, -1)) {
      const damage = (disk: SimulatedDisk): void => disk.putFile(path, other.contents(path));
      const error = await refusal(() => openCopy(image, damage, describeLog));
      expect(error.reason, path).toBe('WAL_CORRUPT');
    }
  });

  test('a segment of a newer format is refused as such', async () => {
    const bytes = Buffer.from(first.bytes);
    bytes.writeUInt32LE(2, 8);
    const error = await refusal(() =>
      openCopy(image, (disk) => disk.putFile(first.path, withHeaderCrc(bytes)), describeLog),
    );
    expect(error.reason).toBe('DATA_DIRECTORY_MISMATCH');
    expect(error.message).toContain('format version 2');
  });
});

function withHeaderCrc(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 4092)), 4092);
  return bytes;
}
