/** What is true of one partition as a whole, put together from what its replicas said. */
import type { ConfState } from '../../src/raft/types.js';
import type { StateHash } from '../../src/state-store/types.js';

interface KnownEntry {
  readonly term: number;
  readonly previousTerm: number;
  readonly digest: number;
  /** Another entry that was written at the same LSN. */
  readonly next: KnownEntry | undefined;
}

export class PartitionTruth {
  /** Entries ever written anywhere, by LSN. */
  readonly #entries: (KnownEntry | undefined)[] = [];
  /** Term of each committed entry, by LSN. */
  readonly committedTerms: number[] = [0];
  /** The highest that any replica has applied; so is the trim point. */
  archivedLsn = 0;
  trimPoint = 0;
  /** Terms in which they became known to be committed. */
  readonly #commitTerms: number[] = [0];
  readonly #leaders = new Map<number, number>();
  /** By LSN. */
  readonly #stateHashes: (StateHash | undefined)[] = [];
  /** As they took effect, ascending. */
  readonly configurations: { readonly lsn: number; readonly confState: ConfState }[];

  constructor(confState: ConfState) {
    this.configurations = [{ lsn: 0, confState }];
  }

  get committedLsn(): number {
    return this.committedTerms.length - 1;
  }

  committed(entryTerm: number, commitTerm: number): void {
    this.committedTerms.push(entryTerm);
    this.#commitTerms.push(commitTerm);
  }

  /** The last entry that was committed in a term below this one. */
  committedBefore(term: number): number {
    let lsn = this.committedLsn;
    while (lsn > 0 && (this.#commitTerms[lsn] as number) >= term) lsn -= 1;
    return lsn;
  }

  get newestConfiguration(): ConfState {
    return this.configurations[this.configurations.length - 1]?.confState as ConfState;
  }

  /** Log matching: LSN and term determine an entry and, by the entry before it, the whole log up to it. Answers what is wrong. */
  entryWritten(lsn: number, term: number, previousTerm: number, digest: number): string | undefined {
    for (let known = this.#entries[lsn]; known !== undefined; known = known.next) {
      if (known.term !== term) continue;
      if (known.digest !== digest) return `two entries of LSN ${lsn} and term ${term} differ`;
      if (known.previousTerm === previousTerm) return undefined;
      return `the entries before LSN ${lsn} of term ${term} have terms ${known.previousTerm} and ${previousTerm}`;
    }
    this.#entries[lsn] = { term, previousTerm, digest, next: this.#entries[lsn] };
    return undefined;
  }

  /** Answers the other leader of the term. */
  ledBy(term: number, replica: number): number | undefined {
    const other = this.#leaders.get(term);
    if (other === undefined) this.#leaders.set(term, replica);
    return other === replica ? undefined : other;
  }

  /** Answers the hash that another replica had at this LSN, when it differs. */
  stateAt(lsn: number, hash: StateHash): StateHash | undefined {
    const known = this.#stateHashes[lsn];
    if (known === undefined) {
      this.#stateHashes[lsn] = hash;
      return undefined;
    }
    return known.low === hash.low && known.high === hash.high ? undefined : known;
  }
}
