import { UsageError } from './failure.js';

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds of `500ms`, `10s`, `1h30m`, `7d`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase();
  if (!/^(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdw])/g))
    total += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined;
}

const isoDate = /^\d{4}-\d{2}-\d{2}$/;
const isoTime = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/i;

/**
 * A point in time as people give it: ISO 8601 (a date alone is its first moment in UTC; a time without zone is local
 * time), how long ago (`10m`, `1h30m ago`), milliseconds since the Unix epoch, or `now`.
 *
 * @throws UsageError
 */
export function parseTime(text: string, nowMs: number): number {
  const trimmed = text.trim();
  if (trimmed === 'now') return nowMs;
  if (/^-?\d{1,16}$/.test(trimmed)) {
    const timeMs = Number(trimmed);
    if (trimmed.length >= 12) return timeMs;
    throw new UsageError(
      `it is ambiguous: Unix time is in milliseconds (12 digits or more), and how long ago has a unit, such as ${trimmed}m`,
    );
  }
  const ago = parseDuration(trimmed.replace(/\s*ago$/i, ''));
  if (ago !== undefined) return nowMs - ago;
  if (isoDate.test(trimmed) || isoTime.test(trimmed)) {
    const parsed = Date.parse(trimmed.replace(' ', 'T').replace(/([+-]\d{2})(\d{2})$/, '$1:$2'));
    if (!Number.isNaN(parsed)) return parsed;
  }
  throw new UsageError(
    'it is not a time: give ISO 8601 (2026-01-31T12:00:00Z), how long ago (10m), or Unix milliseconds',
  );
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** Bytes of `64MiB`, `1.5GB` or a plain number; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = unitBytes[match?.[2]?.toLowerCase() ?? '?'];
  const bytes = unit === undefined ? Number.NaN : Number(match?.[1]) * unit;
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined;
}
