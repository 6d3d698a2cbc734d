/** The streams state machine, with an ear at apply: what became of commands whose answer was lost. */
import { crc32 } from 'node:zlib';
import type { Lsn } from '../../src/base/ids.js';
import type { StateTransaction } from '../../src/base/state-machine.js';
import { Keyspace } from '../../src/streams/keys.js';
import { StreamsStateMachine, type StreamsResult } from '../../src/streams/index.js';

/** Results of applied commands. All replicas answer the same, which the state hash checks: the first is kept. */
export class AppliedCommands {
  readonly #results = new Map<number, StreamsResult>();
  readonly #appliedLsn = new Map<number, number>();
  /** By partition and LSN. */
  readonly #recordsChecksums = new Map<number, Map<number, number>>();

  isApplied(partitionId: number, lsn: number): boolean {
    return lsn <= (this.#appliedLsn.get(partitionId) ?? 0);
  }

  noteRecords(partitionId: number, lsn: number, pieces: readonly Uint8Array[]): void {
    let checksums = this.#recordsChecksums.get(partitionId);
    if (checksums === undefined) {
      checksums = new Map();
      this.#recordsChecksums.set(partitionId, checksums);
    }
    checksums.set(lsn, crc32(Buffer.concat(pieces)));
  }

  /** CRC-32 of the records value of an entry, as it was first applied; undefined when it has none. */
  recordsChecksum(partitionId: number, lsn: number): number | undefined {
    return this.#recordsChecksums.get(partitionId)?.get(lsn);
  }

  note(partitionId: number, lsn: number, command: Uint8Array, result: StreamsResult): void {
    if (this.isApplied(partitionId, lsn)) return;
    this.#appliedLsn.set(partitionId, lsn);
    this.#results.set(AppliedCommands.keyOf(command), result);
  }

  /** Undefined: not applied anywhere so far. */
  resultOf(commandKey: number): StreamsResult | undefined {
    return this.#results.get(commandKey);
  }

  /** Every command of a run carries content of its own, so length and checksum name it. */
  static keyOf(command: Uint8Array): number {
    return crc32(command) * 0x10_0000 + (command.length & 0xf_ffff);
  }
}

export class ObservedMachine extends StreamsStateMachine {
  readonly #partitionId: number;
  readonly #applied: AppliedCommands;
  readonly #forgetsProducers: boolean;
  /** Producers written since the start, of a machine that forgets them. */
  readonly #known = new Set<string>();

  constructor(partitionId: number, applied: AppliedCommands, forgetsProducers = false) {
    super();
    this.#partitionId = partitionId;
    this.#applied = applied;
    this.#forgetsProducers = forgetsProducers;
  }

  override apply(lsn: Lsn, command: Uint8Array, transaction: StateTransaction): StreamsResult {
    const seen = this.#forgetsProducers ? this.#forgetful(transaction) : transaction;
    const isFirst = !this.#applied.isApplied(this.#partitionId, lsn);
    const result = super.apply(lsn, command, isFirst ? this.#noting(lsn, seen) : seen);
    this.#applied.note(this.#partitionId, lsn, command, result);
    return result;
  }

  #noting(lsn: Lsn, transaction: StateTransaction): StateTransaction {
    return {
      getIndex: (key) => transaction.getIndex(key),
      putIndex: (key, value) => transaction.putIndex(key, value),
      deleteIndex: (key) => transaction.deleteIndex(key),
      putRecords: (...pieces) => {
        this.#applied.noteRecords(this.#partitionId, lsn, pieces);
        transaction.putRecords(...pieces);
      },
    };
  }

  /** Shows no producer that was not written by this process. */
  #forgetful(transaction: StateTransaction): StateTransaction {
    const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
    const isProducer = (key: Uint8Array): boolean => key[0] === Keyspace.producer;
    return {
      getIndex: (key) => (isProducer(key) && !this.#known.has(nameOf(key)) ? undefined : transaction.getIndex(key)),
      putIndex: (key, value) => {
        if (isProducer(key)) this.#known.add(nameOf(key));
        transaction.putIndex(key, value);
      },
      deleteIndex: (key) => transaction.deleteIndex(key),
      putRecords: (...pieces) => transaction.putRecords(...pieces),
    };
  }
}
