/**
 * Puts an imported state store in the place of a replica's own, and its log behind it, so that a crash at any moment leaves
 * the old replica or the new one.
 *
 * ```
 *   partitions/7            the replica's state store
 *   partitions/7.staging    being imported; may be incomplete, is resumed or removed, also with an install.json
 *   partitions/7.ready      complete, durable, with install.json: from the rename on, the replica is the new one
 * ```
 *
 * Crash safety: until `7.ready` is there, nothing of the replica has changed. Once it is there, the rest (log begins at the
 * snapshot; old store away; `7.ready` becomes `7`) is done again by every start until `7.ready` is gone, and each of its steps
 * may be repeated: the log is reset only while it begins below the snapshot, and from the rename on the replica neither
 * votes nor accepts entries before the rest is done, so a reset done twice forgets nothing.
 *
 * A process that was killed behind a rename has left a name that is there and not durable. Whoever finds it makes it durable
 * before anything is done that rests on it: a power loss would undo the rename, and not what came after it.
 */
import { LogboomError } from '../base/errors.js';
import { asLsn, asTerm, noReplica, type Lsn, type Term } from '../base/ids.js';
import { replaceFile, type Disk } from '../base/ports/disk.js';
import type { ConfState, HardState } from '../raft/types.js';
import type { PartitionLog } from '../wal/types.js';
import { decodeConfState, encodeConfState } from './conf-state.js';

/** Where a replica begins after its state was imported. */
export interface ImportedStart {
  readonly lsn: Lsn;
  readonly term: Term;
  readonly confState: ConfState;
}

export const stagingDirectory = (directory: string): string => `${directory}.staging`;
const readyDirectory = (directory: string): string => `${directory}.ready`;
const recordPath = (ready: string): string => `${ready}/install.json`;

/**
 * What is written for it, before the core is asked: a disk that is full, or fails once, must not strand a replica that can
 * neither go on with what it had nor with the snapshot. The staging directory holds a complete, closed, durable store.
 */
export async function prepareInstallation(disk: Disk, directory: string, start: ImportedStart): Promise<void> {
  await replaceFile(disk, recordPath(stagingDirectory(directory)), encodeStart(start));
}

/** The point of no return. The installation is prepared. */
export async function markReady(disk: Disk, directory: string): Promise<void> {
  await disk.rename(stagingDirectory(directory), readyDirectory(directory));
  await disk.syncDirectory(parentOf(directory));
}

/**
 * Does what `markReady` decided, as far as it is not done. Answers whether there was anything to do. No store is open in
 * either place.
 *
 * @param held what the replica has promised; of a start, what the log says
 * @throws LogboomError DATA_CORRUPT, WAL_FAILED; DiskError
 */
export async function finishInstallation(
  disk: Disk,
  directory: string,
  log: PartitionLog,
  held: Pick<HardState, 'term' | 'vote'>,
): Promise<boolean> {
  const ready = readyDirectory(directory);
  const parent = parentOf(directory);
  if (!(await disk.exists(ready))) {
    if (await disk.exists(recordPath(directory))) await settle(disk, directory);
    return false;
  }
  const start = decodeStart(recordPath(ready), await disk.readFile(recordPath(ready)));
  await disk.syncDirectory(parent);
  if (log.trimPoint < start.lsn) await resetLog(log, start, held);
  await disk.removeTree(directory);
  // The old store's absence must not be undone once the new one is there.
  await disk.syncDirectory(parent);
  await disk.rename(ready, directory);
  await settle(disk, directory);
  return true;
}

/** The new store has its name, which is made durable; then the record has done its work. */
async function settle(disk: Disk, directory: string): Promise<void> {
  await disk.syncDirectory(parentOf(directory));
  await disk.removeFile(recordPath(directory));
}

/** Whether there is a state store, in its place or on the way to it. */
export async function holdsState(disk: Disk, directory: string): Promise<boolean> {
  return (await disk.exists(directory)) || (await disk.exists(readyDirectory(directory)));
}

/** The store, and whatever was on its way to its place: the replica is removed from this node. */
export async function removeState(disk: Disk, directory: string): Promise<void> {
  for (const each of [stagingDirectory(directory), readyDirectory(directory), directory]) await disk.removeTree(each);
  await disk.syncDirectory(parentOf(directory));
}

/** What is left of an import that nobody wants any more. */
export async function removeStaging(disk: Disk, directory: string): Promise<void> {
  await disk.removeTree(stagingDirectory(directory));
}

async function resetLog(
  log: PartitionLog,
  { lsn, term, confState }: ImportedStart,
  held: Pick<HardState, 'term' | 'vote'>,
): Promise<void> {
  // A vote holds for its term; in a later term nothing was promised yet.
  const vote = term > held.term ? noReplica : held.vote;
  const hardState: HardState = { term: asTerm(Math.max(term, held.term)), vote, commit: lsn };
  await log.resetTo({ lsn, term, confState, hardState });
}

function encodeStart({ lsn, term, confState }: ImportedStart): Uint8Array {
  const configuration: unknown = JSON.parse(new TextDecoder().decode(encodeConfState(confState)));
  return new TextEncoder().encode(`${JSON.stringify({ format: 1, lsn, term, configuration }, undefined, 2)}\n`);
}

function decodeStart(path: string, bytes: Uint8Array): ImportedStart {
  const corrupt = (problem: string): LogboomError =>
    new LogboomError('DATA_CORRUPT', `${path} ${problem}: replace this node by one with an empty data directory`);
  let value: { readonly format?: unknown; readonly lsn?: unknown; readonly term?: unknown; configuration?: unknown };
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as typeof value;
  } catch {
    throw corrupt('is not JSON');
  }
  const { format, lsn, term, configuration } = value;
  if (format !== 1) throw corrupt(`has format ${String(format)}, this build knows 1`);
  if (!isNatural(lsn) || !isNatural(term)) throw corrupt(`has LSN ${String(lsn)} and term ${String(term)}`);
  const confState = decodeConfState(new TextEncoder().encode(JSON.stringify(configuration ?? null)));
  return { lsn: asLsn(lsn), term: asTerm(term), confState };
}

const isNatural = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
