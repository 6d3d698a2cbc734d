import { isUtf8 } from 'node:buffer';
import type { LogRecord } from '../client/index.js';
import { asData, toJsonLine } from './context.js';
import type { CommandContext, OutputFormat } from './context.js';
import { escapeControls, formatTime } from './format.js';

const lineFeed = Buffer.from('\n');

/** Turns records into output, in portions that fit what a pipe takes at once. */
export class RecordPrinter {
  readonly #context: CommandContext;
  readonly #forTerminal: boolean;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#forTerminal = context.io.stdout.isTTY === true;
  }

  async print(records: Iterable<LogRecord>, marked?: number): Promise<void> {
    const { output, format } = this.#context;
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (const record of records) {
      for (const part of this.#parts(record, format, marked)) {
        parts.push(part);
        bytes += part.length;
      }
      if (bytes < 64 * 1024) continue;
      await output.write(Buffer.concat(parts, bytes));
      if (output.closed.aborted) return;
      parts = [];
      bytes = 0;
    }
    if (bytes > 0) await output.write(Buffer.concat(parts, bytes));
  }

  #parts(record: LogRecord, format: OutputFormat, marked: number | undefined): Uint8Array[] {
    if (format === 'raw') return [record.value, lineFeed];
    if (format === 'json') return [Buffer.from(toJsonLine(recordJson(record)))];
    const { palette } = this.#context;
    const mark = marked === undefined ? '' : record.seq === marked ? palette.bold('> ') : '  ';
    const head = Buffer.from(`${mark}${palette.dim(`${record.seq} ${formatTime(record.appendTimeMs)}`)} `);
    const value = this.#forTerminal ? Buffer.from(escapeControls(record.text)) : record.value;
    return [head, value, lineFeed];
  }
}

/** A record as JSON: `value` when it is text, otherwise `valueBase64`; what a record does not have is left out. */
export function recordJson(record: LogRecord): object {
  const { value, timestampNanos, attributes, producer } = record;
  return {
    seq: record.seq,
    time: formatTime(record.appendTimeMs),
    ...(isUtf8(value) ? { value: value.toString('utf8') } : { valueBase64: value.toString('base64') }),
    // A string: JavaScript and jq would round it.
    ...(timestampNanos === undefined ? {} : { timestampUnixNanos: String(timestampNanos) }),
    ...(attributes.length === 0
      ? {}
      : { attributes: asData(Object.fromEntries(attributes.map(({ key, value: text }) => [key, text]))) }),
    ...(producer === undefined ? {} : { producer }),
    lsn: record.lsn,
  };
}
