/**
 * Writes to a state store and flushes it at random until it is killed, and says on standard output what is persisted:
 * a line with the applied LSN of the start, then one with each persisted LSN, in the moment in which it is reported.
 *
 *     node --import tsx writer-process.ts <directory> <seed> <value bytes>
 */
import { writeSync } from 'node:fs';

import { nextInteger } from '../../src/base/ports/random.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { LevelDbProvider, openStateStore } from '../../src/state-store/index.js';
import { smallSizes } from './small-sizes.js';
import { crc32, groupOf, realClock, seededRandom } from './support.js';

const [directory = '', seed = '1', valueBytes = '100'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const say = (lsn: number): void => void writeSync(1, `${lsn}\n`);
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, nextInteger(random, 40)));

const store = await openStateStore({
  directory,
  provider: new LevelDbProvider(nodeDisk),
  clock: realClock,
  crc32,
  sizes: smallSizes,
  onPersisted: say,
});
say(store.appliedLsn);

const write = async (): Promise<never> => {
  for (;;) {
    await store.write(groupOf(store.appliedLsn, store.appliedLsn + 1 + nextInteger(random, 20), Number(valueBytes)));
    if (nextInteger(random, 30) === 0) await pause();
  }
};
const flush = async (): Promise<never> => {
  for (;;) {
    await pause();
    await store.flush();
  }
};
await Promise.all([write(), flush()]);
