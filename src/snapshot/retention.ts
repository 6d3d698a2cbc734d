/** What of a partition's snapshots is kept: pure. */
import type { ManifestEntry } from './types.js';

/**
 * A manifest as it was found: `unconfirmed` when no quorum has said that it is right; else `whole` when it could be read and
 * all its chunks are there.
 */
export interface FoundManifest extends ManifestEntry {
  readonly state: 'whole' | 'damaged' | 'unconfirmed';
}

export interface RetentionRule {
  /** Whole snapshots that are kept, the newest; at least 1. */
  readonly keep: number;
  /** Kept whatever their age. */
  readonly isPinned?: (manifest: ManifestEntry) => boolean;
}

/**
 * Manifests that nobody needs any more, oldest first: those older than the `keep`-th whole one. Damaged ones do not count, so
 * the newest whole one is always kept, and a damaged one goes when it is old. Unconfirmed ones are of use to nobody, and count
 * as old at once; one that is about to be confirmed is so long before the grace period ends.
 *
 * @param manifests newest first
 */
export function superseded(manifests: readonly FoundManifest[], { keep, isPinned }: RetentionRule): ManifestEntry[] {
  let whole = 0;
  const old: ManifestEntry[] = [];
  for (const manifest of manifests) {
    const isOld = manifest.state === 'unconfirmed' || whole >= Math.max(1, keep);
    if (isOld && isPinned?.(manifest) !== true) old.push(manifest);
    if (manifest.state === 'whole') whole += 1;
  }
  return old.toReversed();
}

/** Chunks that no manifest names. */
export function unreferenced(chunks: Iterable<string>, manifests: Iterable<Iterable<string>>): Set<string> {
  const left = new Set(chunks);
  for (const named of manifests) for (const chunk of named) left.delete(chunk);
  return left;
}

/**
 * Since when things have been seen to be without use: without interruption, by observations that are not too far apart.
 * Lives as long as one process collects one partition; a new one begins anew.
 */
export class UselessSince {
  readonly #since = new Map<string, number>();
  #lastBeganMs: number | undefined;

  /**
   * An observation takes time, and counts as of its end when it is the first and as of its beginning when it is the last: so
   * ages are never too high.
   *
   * @param useless as seen between `beganMs` and `endedMs`; what is not among them any more is forgotten
   * @param gapMsMax an observation that ends longer after the one before began begins anew
   */
  observe(useless: ReadonlySet<string>, time: { beganMs: number; endedMs: number; gapMsMax: number }): void {
    const { beganMs, endedMs, gapMsMax } = time;
    if (this.#lastBeganMs !== undefined && endedMs - this.#lastBeganMs > gapMsMax) this.#since.clear();
    this.#lastBeganMs = beganMs;
    for (const name of this.#since.keys()) if (!useless.has(name)) this.#since.delete(name);
    for (const name of useless) if (!this.#since.has(name)) this.#since.set(name, endedMs);
  }

  /** Useless for at least so long, as of the last observation. */
  forAtLeast(ageMs: number): string[] {
    const atMs = this.#lastBeganMs ?? 0;
    return [...this.#since].filter(([, sinceMs]) => atMs - sinceMs >= ageMs).map(([name]) => name);
  }
}
