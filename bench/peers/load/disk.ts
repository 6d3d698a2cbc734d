import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';

const sectorBytes = 512;

/**
 * What reaches the disk, page cache included, from when it is made. By the device, because what Linux says of a process
 * counts whole folios of the page cache, which can be 2 MiB for a record of 100 bytes: so it has the whole machine in it.
 */
export class DiskWrites {
  readonly #directory: string;
  readonly #before: number | undefined;

  constructor(directory: string) {
    this.#directory = directory;
    execFileSync('sync');
    this.#before = deviceBytes(directory);
  }

  /** @param bytes of all records appended since; no figure where the directory is on no device, as with tmpfs */
  perByte(bytes: number): Readonly<Record<string, number>> {
    execFileSync('sync');
    const after = deviceBytes(this.#directory);
    return this.#before === undefined || after === undefined
      ? {}
      : { diskBytesPerByte: (after - this.#before) / bytes };
  }
}

function deviceBytes(directory: string): number | undefined {
  const { dev } = statSync(directory);
  // As makedev(3) puts them together, for numbers below 2^20.
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  for (const line of readFileSync('/proc/diskstats', 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (Number(fields[0]) === major && Number(fields[1]) === minor) return Number(fields[9]) * sectorBytes;
  }
  return undefined;
}
