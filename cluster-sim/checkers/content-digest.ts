/** What a replica holds, entry by entry, whatever it has deleted physically: for comparing replicas. */
import type { PartitionReplica } from '../../src/partition/index.js';
import type { StateStore } from '../../src/state-store/index.js';
import { asLsn } from '../../src/base/ids.js';
import type { StreamsResult } from '../../src/streams/index.js';
import type { ObservedMachine } from '../clients/observed-machine.js';
import { Sha256 } from '../engine/sha256.js';

const pageEntries = 1000;
const endOfKeys = Uint8Array.of(0xff);
const firstMachineKey = 0x10;
const recordsBytesMax = 1 << 20;

export interface ContentDigest {
  readonly lsn: number;
  /** Of the live index entries, and the records that they point to. */
  readonly digest: string;
}

/** Undefined while the store is being reopened. @throws LogboomError DATA_CORRUPT */
export async function contentDigest(
  replica: PartitionReplica<StreamsResult, ObservedMachine> & { readonly store: StateStore },
): Promise<ContentDigest> {
  const state = await replica.store.snapshot();
  try {
    const view = await replica.machine.logicalView(state);
    const hash = new Sha256();
    let from: Uint8Array = Uint8Array.of(0);
    for (;;) {
      const page = await state.scanIndex({ from, to: endOfKeys, limit: pageEntries });
      for (const { key, value } of page) {
        if ((key[0] ?? 0) >= firstMachineKey && !view.isLive(key, value)) continue;
        hash.add(`${key.length} `).add(key).add(`${value.length} `).add(value);
        const lsn = (key[0] ?? 0) >= firstMachineKey ? view.recordsLsn(key, value) : undefined;
        if (lsn === undefined) continue;
        const records = await state.scanRecords({ from: lsn, to: asLsn(lsn + 1), limit: 1, maxBytes: recordsBytesMax });
        for (const entry of records) hash.add(`${entry.lsn} `).add(entry.value);
        if (records.length === 0) hash.add('missing');
      }
      const last = page.at(-1);
      if (last === undefined) break;
      from = Buffer.concat([last.key, Uint8Array.of(0)]);
    }
    return { lsn: state.appliedLsn, digest: hash.digest().slice(0, 16) };
  } finally {
    await state.close();
  }
}
