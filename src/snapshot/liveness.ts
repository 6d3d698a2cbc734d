/** What of a stored state goes into a snapshot. */
import type { IndexEntry, LogicalView } from '../base/state-machine.js';
import type { RecordsEntry, StateSnapshot } from '../state-store/index.js';

/** Index keys from here on are the state machine's, and subject to its view; those below belong to the partition itself. */
const firstMachineKey = 0x10;

export const isOfMachine = (key: Uint8Array): boolean => (key[0] ?? 0) >= firstMachineKey;

export const isLiveEntry = (view: LogicalView, { key, value }: IndexEntry): boolean =>
  !isOfMachine(key) || view.isLive(key, value);

/** Whether a live index entry points to the value. @throws LogboomError DATA_CORRUPT */
export function isLiveRecord(
  state: Pick<StateSnapshot, 'getIndex'>,
  view: LogicalView,
  { lsn, value }: RecordsEntry,
): boolean {
  const owner = view.ownerOf(lsn, value);
  const entry = state.getIndex(owner);
  return entry !== undefined && view.isLive(owner, entry) && view.recordsLsn(owner, entry) === lsn;
}
