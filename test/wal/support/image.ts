/** The disk of a node whose write-ahead log was written some way and then left alone, to be damaged and opened again. */
import { RandomStream } from '../../../cluster-sim/engine/random.js';
import { World } from '../../../cluster-sim/engine/world.js';
import { SimulatedClock, settleLater } from '../../../cluster-sim/simulated-clock.js';
import type { SimulatedDisk } from '../../../cluster-sim/simulated-disk.js';
import { crc32 } from 'node:zlib';
import { sleep } from '../../../src/base/ports/clock.js';
import type { SegmentId } from '../../../src/wal/frame.js';
import { scanGroup, type ScannedGroup } from '../../../src/wal/group-scan.js';
import type { WalOptions } from '../../../src/wal/options.js';
import { decodeHeaderBlock, headerBlockBytes } from '../../../src/wal/segment-format.js';
import { Wal } from '../../../src/wal/wal.js';
import { directory, environmentOf, readAll, simulation, smallOptions } from './simulated.js';

export const imageOptions: Partial<WalOptions> = {
  ...smallOptions,
  segmentBytes: 16 * 1024,
  maxPendingBytes: 8 * 1024,
};

/** Runs `write` on a fresh log, then power loss: all that was awaited is there, and no clean stop. */
export async function writeImage(
  write: (wal: Wal) => Promise<void>,
  options = imageOptions,
  seed = 1,
): Promise<SimulatedDisk> {
  const sim = simulation(seed);
  await settleLater(sim.world, async () => {
    await write(await Wal.open(sim.environment(), options, directory));
    // Lets what runs in the background finish.
    await sleep(sim.clock, 1000);
  });
  sim.disk.powerLoss();
  return sim.disk;
}

/** Opens the log on a copy of the disk that `change` was applied to. */
export function openCopy<Result>(
  image: SimulatedDisk,
  change: (disk: SimulatedDisk) => void,
  use: (wal: Wal) => Promise<Result>,
  options = imageOptions,
): Promise<Result> {
  const world = new World();
  const clock = new SimulatedClock(world);
  const disk = image.copy(clock, new RandomStream(2, 'disk'));
  change(disk);
  const environment = environmentOf(clock, new RandomStream(3, 'environment'), disk.mount());
  return settleLater(world, async () => use(await Wal.open(environment, options, directory)));
}

/** All that a log holds, as text to compare. */
export async function describeLog(wal: Wal): Promise<string> {
  const lines: string[] = [];
  for (const id of wal.partitionIds) {
    const log = wal.partition(id);
    if (log === undefined) continue;
    const list = await readAll(log);
    lines.push(
      `${id} ${JSON.stringify(log.recovered)} ${log.oldestLsn} ${log.lastLsn} ` +
        list.map(({ lsn, term, data }) => `${lsn}/${term}:${crc32(data)}`).join(' '),
    );
  }
  return lines.join('\n');
}

export interface ScannedSegment {
  readonly path: string;
  readonly bytes: Buffer;
  readonly id: SegmentId;
  readonly groups: readonly (ScannedGroup & { readonly offset: number })[];
}

/** The groups of a segment file, found without the log's help. */
export function scanSegment(disk: SimulatedDisk, sequence: number): ScannedSegment {
  const path = `${directory}/${String(sequence).padStart(12, '0')}.wal`;
  const bytes = Buffer.from(disk.contents(path));
  const header = decodeHeaderBlock(bytes.subarray(0, headerBlockBytes), crc32);
  if (header === undefined) throw new Error(`${path}: no header`);
  const groups: (ScannedGroup & { offset: number })[] = [];
  for (let offset = headerBlockBytes; ;) {
    const group = scanGroup(bytes, offset, groups.length + 1, header.id, crc32);
    if ('damagedAt' in group) break;
    groups.push({ ...group, offset });
    offset = group.endOffset;
  }
  return { path, bytes, id: header.id, groups };
}

export function segmentPaths(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => /\/\d{12}\.wal$/.test(path));
}
