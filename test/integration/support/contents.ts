/** Whole streams, small enough to be held and compared. */
import { createHash } from 'node:crypto';
import type { LogboomClient } from '../../../src/client/index.js';

export interface StreamContent {
  readonly values: readonly Buffer[];
  /** Over seq, LSN, append time and value of every record. */
  readonly digest: string;
}

/** @throws Error when seq is not dense from the first record on */
export async function readStream(client: LogboomClient, stream: string, fromSeq = 0): Promise<StreamContent> {
  const values: Buffer[] = [];
  const hash = createHash('sha256');
  for await (const page of client.readPages(stream, { fromSeq, deadlineMs: 60_000 })) {
    for (const record of page) {
      if (record.seq !== fromSeq + values.length)
        throw new Error(`seq ${record.seq} follows ${fromSeq + values.length - 1}`);
      const { value } = record;
      hash.update(`${record.seq} ${record.batch.lsn} ${record.batch.appendTimeMs} ${value.length} `).update(value);
      values.push(Buffer.from(value));
    }
  }
  return { values, digest: hash.digest('hex') };
}

export async function verifyAll(client: LogboomClient): Promise<{ digests: string[]; damaged: number }> {
  const digests: string[] = [];
  let damaged = 0;
  for (const { id } of await client.cluster.partitions()) {
    const verification = await client.cluster.verifyPartition(id);
    digests.push(verification.digest);
    damaged += verification.damaged.length;
  }
  return { digests, damaged };
}
