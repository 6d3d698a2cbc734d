import type { Clock } from './clock.js';
import type { Compressor } from './compressor.js';
import type { Disk } from './disk.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';
import type { Random } from './random.js';

/** CRC-32 (the one of zlib and Ethernet), continued from `seed`. */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

/** Everything from outside the process that the server's code may touch. `server/` makes the real one, the simulator its own. */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly compressor: Compressor;
  readonly crc32: Crc32;
  readonly logger: Logger;
  readonly metrics: Metrics;
}
