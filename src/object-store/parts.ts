export function totalBytes(parts: readonly Uint8Array[]): number {
  let total = 0;
  for (const part of parts) total += part.length;
  return total;
}

/**
 * The same bytes in pieces of `pieceBytes`, the last one shorter; none of no bytes. Nothing is copied: each piece is a
 * list of views.
 */
export function* pieces(parts: readonly Uint8Array[], pieceBytes: number): Generator<Uint8Array[]> {
  let piece: Uint8Array[] = [];
  let room = pieceBytes;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      const taken = part.subarray(at, at + room);
      piece.push(taken);
      at += taken.length;
      room -= taken.length;
      if (room > 0) continue;
      yield piece;
      piece = [];
      room = pieceBytes;
    }
  }
  if (piece.length > 0) yield piece;
}

/** One array; of a single part that part itself, not a copy. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  const bytes = new Uint8Array(totalBytes(parts));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
