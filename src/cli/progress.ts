import { formatBytes, formatCount, formatDuration } from './format.js';
import type { CommandIo } from './io.js';

export interface ProgressState {
  /** Undefined: they are not counted. */
  readonly records?: number;
  readonly bytes: number;
  /** That were there when the line began, and say nothing about the rate. */
  readonly bytesBefore?: number;
  /** Undefined when it is not known how much will come: then there is no bar. */
  readonly totalBytes: number | undefined;
}

const intervalMs = 100;
const barCells = 24;

/** One line on standard error that is drawn over and over; nothing at all when that is no terminal. */
export class Progress {
  readonly #stream: CommandIo['stderr'];
  readonly #read: () => ProgressState;
  readonly #startedMs = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: CommandIo['stderr'], read: () => ProgressState) {
    this.#stream = stream;
    this.#read = read;
  }

  start(): void {
    if (this.#stream.isTTY !== true) return;
    this.#timer = setInterval(() => this.#draw(), intervalMs);
    this.#timer.unref();
  }

  /** Removes the line. */
  stop(): void {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#stream.write('\r\u001b[K');
  }

  /** Removes the line for a message, which is drawn again below it. */
  interrupt(write: () => void): void {
    if (this.#timer) this.#stream.write('\r\u001b[K');
    write();
  }

  #draw(): void {
    const elapsedMs = performance.now() - this.#startedMs;
    this.#stream.write(`\r${progressLine(this.#read(), elapsedMs, this.#stream.columns || 80)}\u001b[K`);
  }
}

/** `[#####-----]  42 %  1,234 records  12.3 MiB  4.5 MiB/s  12 s left`, cut to the width of the terminal. */
export function progressLine(state: ProgressState, elapsedMs: number, columns: number): string {
  const { records, bytes, bytesBefore = 0, totalBytes } = state;
  const bytesPerSecond = elapsedMs > 0 ? ((bytes - bytesBefore) / elapsedMs) * 1000 : 0;
  const parts: string[] = [];
  if (totalBytes !== undefined && totalBytes > 0) {
    const share = Math.min(1, bytes / totalBytes);
    const filled = Math.round(share * barCells);
    parts.push(
      `[${'#'.repeat(filled)}${'-'.repeat(barCells - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`,
    );
  }
  if (records !== undefined) parts.push(`${formatCount(records)} records`);
  parts.push(formatBytes(bytes), `${formatBytes(bytesPerSecond)}/s`);
  if (totalBytes !== undefined && bytesPerSecond > 0 && bytes < totalBytes)
    parts.push(`${formatDuration(Math.ceil((totalBytes - bytes) / bytesPerSecond) * 1000)} left`);
  return parts.join('  ').slice(0, Math.max(10, columns - 1));
}
