/** What a replica holds, entry by entry, whatever it has deleted physically: for comparing replicas. */
import type { PartitionReplica } from '../../src/partition/index.js';
import type { RecordsEntry, StateSnapshot, StateStore } from '../../src/state-store/index.js';
import { asLsn, type Lsn } from '../../src/base/ids.js';
import type { StreamsResult } from '../../src/streams/index.js';
import type { ObservedMachine } from '../clients/observed-machine.js';
import { Sha256 } from '../engine/sha256.js';

const pageEntries = 1000;
const endOfKeys = Uint8Array.of(0xff);
const firstMachineKey = 0x10;
const recordsBytesMax = 1 << 20;
/** Records values that are read at once. */
const aheadEntries = 64;

export interface ContentDigest {
  readonly lsn: number;
  /** Of the live index entries, and the records that they point to. */
  readonly digest: string;
}

const nothing = new Uint8Array(0);

function lengthsOf(key: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeUInt32LE(key.length, 0);
  bytes.writeUInt32LE(value.length, 4);
  return bytes;
}

/** What is missing is told from what is empty. */
function lsnOf(lsn: number, content: Uint8Array | undefined): Uint8Array {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeDoubleLE(lsn, 0);
  bytes.writeDoubleLE(content?.length ?? -1, 8);
  return bytes;
}

/** Records values, read ahead in the order of their LSNs: the entries of a stream point to them in that order. */
class RecordsInOrder {
  readonly #state: StateSnapshot;
  #read: readonly RecordsEntry[] = [];
  #at = 0;

  constructor(state: StateSnapshot) {
    this.#state = state;
  }

  /** The value at `lsn`, when it comes soon among those that were read. */
  next(lsn: number): Uint8Array | undefined {
    for (let entry = this.#read[this.#at]; entry !== undefined && entry.lsn <= lsn; entry = this.#read[this.#at]) {
      this.#at += 1;
      if (entry.lsn === lsn) return entry.value;
    }
    return undefined;
  }

  async at(lsn: Lsn): Promise<Uint8Array | undefined> {
    const to = asLsn(lsn + aheadEntries);
    this.#read = await this.#state.scanRecords({ from: lsn, to, limit: aheadEntries, maxBytes: recordsBytesMax });
    this.#at = 0;
    return this.next(lsn);
  }
}

/** Undefined while the store is being reopened. @throws LogboomError DATA_CORRUPT */
export async function contentDigest(
  replica: PartitionReplica<StreamsResult, ObservedMachine> & { readonly store: StateStore },
): Promise<ContentDigest> {
  const state = await replica.store.snapshot();
  try {
    const view = await replica.machine.logicalView(state);
    const hash = new Sha256();
    const records = new RecordsInOrder(state);
    let from: Uint8Array = Uint8Array.of(0);
    for (;;) {
      const page = await state.scanIndex({ from, to: endOfKeys, limit: pageEntries });
      // Hashed a page at a time: a call of the hash function costs more than the few bytes of an entry.
      const parts: Uint8Array[] = [];
      for (const { key, value } of page) {
        if ((key[0] ?? 0) >= firstMachineKey && !view.isLive(key, value)) continue;
        parts.push(lengthsOf(key, value), key, value);
        const lsn = (key[0] ?? 0) >= firstMachineKey ? view.recordsLsn(key, value) : undefined;
        if (lsn === undefined) continue;
        const content = records.next(lsn) ?? (await records.at(lsn));
        parts.push(lsnOf(lsn, content), content ?? nothing);
      }
      hash.add(Buffer.concat(parts));
      const last = page.at(-1);
      if (last === undefined) break;
      from = Buffer.concat([last.key, Uint8Array.of(0)]);
    }
    return { lsn: state.appliedLsn, digest: hash.digest().slice(0, 16) };
  } finally {
    await state.close();
  }
}
