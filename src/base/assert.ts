/** A broken invariant: a bug, or memory or disk that lies. It stops the partition or the node; it is never handled and carried on. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/**
 * Always on, in production too. One fact a call; the message is built only when the assertion fails and prints the
 * numbers that were compared.
 *
 * @throws InvariantViolation when `condition` is false
 */
export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new InvariantViolation(message());
}

/** For the default branch of an exhaustive switch over data that came from inside this process. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable value: ${String(value)}`);
}
