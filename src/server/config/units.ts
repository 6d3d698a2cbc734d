/** Sizes and durations as people write them: `64MiB`, `10s`. */

const byteUnits: Readonly<Record<string, number>> = {
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

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Bytes of `64MiB`, `1.5 GB` or a plain number; undefined when it is none of these or not a whole number of bytes. */
export function parseBytes(text: string | number): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(String(text).trim());
  if (!match) return undefined;
  const unit = match[2] === '' ? 1 : byteUnits[match[2]?.toLowerCase() ?? ''];
  const bytes = unit === undefined ? Number.NaN : Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Milliseconds of `10s`, `1h30m` or a plain number; undefined when it is none of these. */
export function parseDurationMs(text: string | number): number | undefined {
  const trimmed = String(text).trim();
  if (/^\d+$/.test(trimmed)) return safeInteger(Number(trimmed));
  if (!/^(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$/.test(trimmed)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * (durationUnits[unit ?? ''] ?? Number.NaN);
  }
  return safeInteger(totalMs);
}

function safeInteger(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The shortest exact form: `64MiB`, `1000` bytes as `1000B`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const size = byteUnits[unit.toLowerCase()] ?? 1;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}

/** The shortest exact form: `10s`, `1500ms`. */
export function formatDurationMs(durationMs: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = durationUnits[unit] ?? 1;
    if (durationMs >= size && durationMs % size === 0) return `${durationMs / size}${unit}`;
  }
  return `${durationMs}ms`;
}
