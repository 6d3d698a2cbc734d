/** The known name nearest to what was written, when it is near enough to be a slip; undefined otherwise. */
export function nearestName(written: string, known: Iterable<string>): string | undefined {
  const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');
  const target = plain(written);
  if (target === '' || target.length > 100) return undefined;
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const candidate = plain(name);
    // A section left out, as in `segmentBytes` for `wal.segmentBytes`, is a slip as well.
    const distance = target.length >= 4 && candidate.endsWith(target) ? 1 : editDistance(target, candidate);
    if (!best || distance < best.distance) best = { name, distance };
  }
  return best && best.distance <= Math.max(2, Math.floor(target.length / 3)) ? best.name : undefined;
}

/** Levenshtein distance. */
export function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
