/**
 * A state machine for tests: a list of texts. Each command adds one; its result says which place it got. Dots at the end
 * only make a command large: the index does without them.
 */
import { asLsn, type Lsn } from '../../../src/base/ids.js';
import type { LogicalView, StateMachine, StateReader, StateTransaction } from '../../../src/base/state-machine.js';

export interface Added {
  readonly place: number;
}

const lengthKey = Uint8Array.of(0x20);
const itemPrefix = 0x21;
const itemsEnd = Uint8Array.of(0x22);
const recordsPrefix = 0x31;
/** Of the entry that points to the records value of an LSN. */
function recordsPointer(lsn: Lsn): Uint8Array {
  const key = Buffer.alloc(5, recordsPrefix);
  key.writeUInt32BE(lsn, 1);
  return key;
}

export class ListMachine implements StateMachine<Added> {
  /** Runs at the beginning of a load; tests make it fail. */
  onLoad: (reader: StateReader) => void | Promise<void> = () => {};
  /** Runs for each command. */
  onApply: (lsn: Lsn, text: string) => void = () => {};
  /** As published. */
  length = 0;
  /** Index entries that each command writes besides its own. */
  fillerEntries = 0;
  #length = 0;
  #changed = false;

  async load(reader: StateReader): Promise<void> {
    await this.onLoad(reader);
    const stored = reader.getIndex(lengthKey);
    this.#length = stored === undefined ? 0 : Buffer.from(stored).readUInt32BE();
    this.length = this.#length;
  }

  apply(lsn: Lsn, command: Uint8Array, transaction: StateTransaction): Added {
    this.onApply(lsn, Buffer.from(command).toString());
    this.#length += 1;
    this.#changed = true;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(this.#length);
    transaction.putIndex(lengthKey, length);
    const key = Buffer.alloc(5, itemPrefix);
    key.writeUInt32BE(this.#length, 1);
    transaction.putIndex(key, Buffer.from(Buffer.from(command).toString().replace(/\.+$/, '')));
    for (let filler = 0; filler < this.fillerEntries; filler += 1) {
      transaction.putIndex(Buffer.from(`\x30${lsn}/${filler}`), new Uint8Array(16));
    }
    transaction.putRecords(command);
    transaction.putIndex(recordsPointer(lsn), new Uint8Array(0));
    return { place: this.#length };
  }

  logicalView(): Promise<LogicalView> {
    return Promise.resolve({
      isLive: () => true,
      recordsLsn: (key) => (key[0] === recordsPrefix ? asLsn(Buffer.from(key).readUInt32BE(1)) : undefined),
      recordsBytes: () => 0,
      ownerOf: recordsPointer,
    });
  }

  publish(): Iterable<number> {
    this.length = this.#length;
    if (!this.#changed) return [];
    this.#changed = false;
    return [1];
  }
}

/** The texts of the list, first to last. */
export async function textsOf(reader: StateReader): Promise<string[]> {
  const items = await reader.scanIndex({ from: Uint8Array.of(itemPrefix), to: itemsEnd, limit: 1_000_000 });
  return items.map(({ value }) => Buffer.from(value).toString());
}
