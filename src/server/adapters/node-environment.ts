/** Time, randomness, checksums and disk of the real world. The server adds compressor, logger and metrics. */
import { randomFillSync } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../base/ports/clock.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Random } from '../../base/ports/random.js';
import { withShortCrc32 } from '../../base/short-crc32.js';
import { nodeDisk } from './node-disk.js';

/** Node fires a timer at once when its delay does not fit into 31 bits. */
const timeoutMsMax = 2 ** 31 - 1;

export const nodeClock: Clock = {
  // Not performance.timeOrigin + now(): that never sees the system clock being set.
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const deadlineMs = performance.now() + delayMs;
    let timeout: NodeJS.Timeout;
    const arm = (): void => {
      const restMs = Math.max(0, deadlineMs - performance.now());
      if (restMs > timeoutMsMax) timeout = setTimeout(arm, timeoutMsMax);
      // Node rounds down to whole milliseconds; a timer must not fire early.
      else timeout = setTimeout(callback, Math.ceil(restMs));
      timeout.unref();
    };
    arm();
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** The operating system's generator, taken in pages: a call of its own for each number would cost microseconds. */
export const nodeRandom: Random = {
  nextUint32() {
    if (randomNext === randomPage.length) {
      randomFillSync(randomPage);
      randomNext = 0;
    }
    return randomPage[randomNext++] as number;
  },
};
const randomPage = new Uint32Array(256);
let randomNext = randomPage.length;

/** The pieces of {@link Environment} that need no configuration. */
export const nodeEnvironmentParts: Pick<Environment, 'clock' | 'random' | 'disk' | 'crc32'> = {
  clock: nodeClock,
  random: nodeRandom,
  disk: nodeDisk,
  crc32: withShortCrc32(crc32),
};
