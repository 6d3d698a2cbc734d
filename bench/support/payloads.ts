/** What is appended: real log text, and bytes that do not compress. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export type PayloadKind = 'text' | 'random';

const root = path.resolve(import.meta.dirname, '../..');
/** Real system logs: files that end in `.log`, from where the environment says or beside the checkout. */
const logDirectory = process.env['LOGBOOM_BENCH_LOGS'] ?? path.resolve(root, '../shared/data/loghub');

export interface Payloads {
  /** What `text` stands for in this run. */
  readonly textSource: string;
  /** Values of `bytes` each, all different, cycling. */
  next(kind: PayloadKind, bytes: number): Buffer;
}

const randomPoolBytes = 64 << 20;

export function makePayloads(): Payloads {
  const text = readText();
  const pools: Record<PayloadKind, Buffer> = { text: text.bytes, random: randomBytes(randomPoolBytes) };
  const positions: Record<PayloadKind, number> = { text: 0, random: 0 };
  return {
    textSource: text.source,
    next: (kind, bytes) => {
      const pool = pools[kind];
      // An odd step, so that the second pass over the pool cuts other values than the first.
      if (positions[kind] + bytes > pool.length)
        positions[kind] = (positions[kind] + bytes + 7919) % (pool.length - bytes);
      const at = positions[kind];
      positions[kind] = at + bytes;
      return pool.subarray(at, at + bytes);
    },
  };
}

function readText(): { readonly source: string; readonly bytes: Buffer } {
  if (existsSync(logDirectory)) {
    const files = readdirSync(logDirectory).filter((name) => name.endsWith('.log'));
    const bytes = Buffer.concat(files.map((name) => readFileSync(path.join(logDirectory, name))));
    return { source: `${files.length} real system logs, ${(bytes.length / 1e6).toFixed(1)} MB`, bytes };
  }
  return { source: 'made-up log lines', bytes: Buffer.from(madeUpLines(40_000)) };
}

function madeUpLines(count: number): string {
  const levels = ['INFO', 'INFO', 'INFO', 'WARN', 'ERROR', 'DEBUG'];
  const words = [
    'connection',
    'accepted',
    'block',
    'replicated',
    'session',
    'opened',
    'timeout',
    'retry',
    'user',
    'closed',
  ];
  let state = 1;
  const pick = (bound: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % bound;
  };
  const lines: string[] = [];
  for (let line = 0; line < count; line += 1) {
    const text = Array.from({ length: 4 + pick(8) }, () => words[pick(words.length)]).join(' ');
    lines.push(
      `2026-01-01T00:00:${String(pick(60)).padStart(2, '0')}Z ${levels[pick(levels.length)]} [worker-${pick(64)}] ${text} id=${pick(1 << 24)}`,
    );
  }
  return lines.join('\n');
}
