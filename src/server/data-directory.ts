/**
 * The directory of a node.
 *
 * ```
 * DIR/node.json     identity, written once, before anything else
 * DIR/cluster.json  what the node's cluster was formed of (cluster/formation-record.ts)
 * DIR/restored.json of a node that was restored from a snapshot repository: from what (restore/restore-node.ts)
 * DIR/lock          held by the process that uses the directory
 * DIR/holder.json   which process that is, for messages only; may be stale
 * DIR/wal/          write-ahead log
 * DIR/partitions/   state stores
 * ```
 *
 * Invariant: whatever else is in the directory was written by the identity in node.json. The first start writes it through
 * {@link replaceFile} and syncs the parents before the directory is handed out, so that a crash leaves a directory
 * without node.json and without data, or one with node.json; data without node.json is not a crash but damage.
 */
import { LogboomError } from '../base/errors.js';
import { asNodeId } from '../base/ids.js';
import { isDiskError, replaceFile } from '../base/ports/disk.js';
import { nextIdentity } from '../base/ports/random.js';
import { damaged, encodeJson, parseObject, readSealedJson, writeSealedJson } from './sealed-json.js';
import type { NodeId } from '../base/ids.js';
import type { Disk, DiskLock } from '../base/ports/disk.js';
import type { Environment } from '../base/ports/environment.js';

/**
 * Layouts: 1 is read, of a node that was alone for good and had no cluster.json; its cluster id is in node.json. 2 is
 * written, which builds that know only nodes alone must not take for one.
 */
const formatVersions = { alone: 1, member: 2 } as const;
const advice = 'Restore it, or replace the node';

export interface NodeIdentity {
  /** 14 hexadecimal digits, in layout 1 only: from layout 2 on cluster.json has it, once there is a cluster. */
  readonly clusterId: string | undefined;
  readonly nodeId: NodeId;
  /** New on every fresh directory; 14 hexadecimal digits. */
  readonly incarnation: string;
  readonly partitionCount: number;
  readonly createdUnixMs: number;
}

export interface DataDirectory {
  readonly path: string;
  readonly identity: NodeIdentity;
  /** Whether this start made the directory. */
  readonly isNew: boolean;
  release(): Promise<void>;
}

export interface DataDirectoryOptions {
  /** Absolute. */
  readonly path: string;
  readonly nodeId: NodeId;
  readonly partitionCount: number;
  /** Who will hold the lock, for the message that others get. */
  readonly holder: { readonly pid: number; readonly hostname: string };
}

type Parts = Pick<Environment, 'disk' | 'random' | 'clock' | 'crc32'>;

/** What a restore leaves in a directory before anything else; without node.json it was not finished. */
export const restoredFile = 'restored.json';

/**
 * Locks a directory that a restore is to make a node's: one that is absent or empty, or in which it was interrupted.
 *
 * @throws LogboomError DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH when there is anything else in it
 */
export async function lockForRestore(
  environment: Parts,
  { path, holder }: Pick<DataDirectoryOptions, 'path' | 'holder'>,
): Promise<DiskLock> {
  const { disk } = environment;
  await makeRoot(disk, path);
  const lock = await takeLock(disk, path);
  try {
    const names = await disk.list(path);
    const facts = { directory: path };
    if (names.includes('node.json')) {
      throw new LogboomError(
        'DATA_DIRECTORY_MISMATCH',
        `${path} is the data directory of a node already: restore into an empty one (dataDir)`,
        { facts },
      );
    }
    if (!names.includes(restoredFile)) await checkEmpty(disk, path, [`${restoredFile}.new`]);
    await writeHolder(environment, { path, holder });
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Locks the directory, making it when it is absent, and checks that it is this node's.
 *
 * @throws LogboomError DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH, or DATA_CORRUPT when node.json is damaged
 */
export async function openDataDirectory(environment: Parts, options: DataDirectoryOptions): Promise<DataDirectory> {
  const { disk } = environment;
  const { path } = options;
  await makeRoot(disk, path);
  const lock = await takeLock(disk, path);
  try {
    const stored = await readIdentity(environment, path);
    if (stored) checkIdentity(stored, options);
    else await checkEmpty(disk, path);
    const identity = stored ?? (await newIdentity(environment, options));
    await makeSubdirectories(disk, path);
    await writeHolder(environment, options);
    return { path, identity, isNew: stored === undefined, release: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function makeRoot(disk: Disk, path: string): Promise<void> {
  if (await disk.exists(path)) return;
  await disk.makeDirectory(path);
  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
}

async function makeSubdirectories(disk: Disk, path: string): Promise<void> {
  for (const name of ['wal', 'partitions']) {
    if (!(await disk.exists(`${path}/${name}`))) await disk.makeDirectory(`${path}/${name}`);
  }
  // Also when they are there: a process that made them may have ended before it synced their names.
  await disk.syncDirectory(path);
}

async function takeLock(disk: Disk, path: string): Promise<DiskLock> {
  try {
    return await disk.lock(`${path}/lock`);
  } catch (error) {
    if (!isDiskError(error, 'EBUSY')) throw error;
    const holder = await readHolder(disk, path);
    const who = holder ? `process ${holder.pid} on ${holder.hostname}` : 'another process';
    throw new LogboomError(
      'DATA_DIRECTORY_LOCKED',
      `the data directory ${path} is in use by ${who}: stop it, or choose another directory (dataDir)`,
      { facts: { directory: path, ...(holder ? { pid: holder.pid, hostname: holder.hostname } : {}) }, cause: error },
    );
  }
}

async function readHolder(disk: Disk, path: string): Promise<{ pid: number; hostname: string } | undefined> {
  try {
    const holder = parseObject(await disk.readFile(`${path}/holder.json`));
    const { pid, hostname } = holder;
    return typeof pid === 'number' && typeof hostname === 'string' ? { pid, hostname } : undefined;
  } catch {
    // Only for the message: the lock, not this file, says that the directory is in use.
    return undefined;
  }
}

async function writeHolder(
  { disk, clock }: Parts,
  { path, holder }: Pick<DataDirectoryOptions, 'path' | 'holder'>,
): Promise<void> {
  try {
    await replaceFile(
      disk,
      `${path}/holder.json`,
      encodeJson({ ...holder, startedUnixMs: Math.floor(clock.wallMs()) }),
    );
  } catch (error) {
    // A full disk must not keep a node from starting to serve reads.
    if (!isDiskError(error, 'ENOSPC')) throw error;
  }
}

async function checkEmpty(disk: Disk, path: string, more: readonly string[] = []): Promise<void> {
  const expected = new Set(['lock', 'node.json.new', 'holder.json', 'holder.json.new', 'lost+found', ...more]);
  const others = (await disk.list(path)).filter((name) => !expected.has(name));
  if (others.length === 0) return;
  if (others.includes(restoredFile)) {
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `a restore into ${path} was not finished: run \`logboom snapshot restore\` again, which goes on with it, or empty the ` +
        'directory',
      { facts: { directory: path } },
    );
  }
  throw new LogboomError(
    'DATA_DIRECTORY_MISMATCH',
    `${path} has no node.json and is not empty (it holds ${others.slice(0, 3).join(', ')}): it is no data directory, or ` +
      'node.json was lost. Choose an empty directory (dataDir), or restore node.json',
    { facts: { directory: path } },
  );
}

async function readIdentity(environment: Parts, path: string): Promise<NodeIdentity | undefined> {
  const file = `${path}/node.json`;
  const fields = await readSealedJson(environment, file, { versionMax: formatVersions.member, advice });
  if (fields === undefined) return undefined;
  const { formatVersion, clusterId, nodeId, incarnation, partitionCount, createdUnixMs } = fields;
  if (
    typeof clusterId !== (formatVersion === formatVersions.member ? 'undefined' : 'string') ||
    typeof nodeId !== 'number' ||
    typeof incarnation !== 'string' ||
    typeof partitionCount !== 'number' ||
    typeof createdUnixMs !== 'number'
  ) {
    throw damaged(file, 'a field is missing', advice);
  }
  const common = { nodeId: asNodeId(nodeId), incarnation, partitionCount, createdUnixMs };
  return { clusterId: clusterId as string | undefined, ...common };
}

function checkIdentity(identity: NodeIdentity, options: DataDirectoryOptions): void {
  const { path, nodeId, partitionCount } = options;
  if (identity.nodeId !== nodeId) {
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `${path} belongs to node ${identity.nodeId}, and nodeId is ${nodeId}: set nodeId to ${identity.nodeId}, or choose ` +
        'another directory (dataDir)',
      { facts: { directory: path, stored_node_id: identity.nodeId, node_id: nodeId } },
    );
  }
  if (identity.partitionCount !== partitionCount) {
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `${path} was made with ${identity.partitionCount} partitions, and partitions is ${partitionCount}: the number is ` +
        `fixed. Set partitions to ${identity.partitionCount}, or choose another directory (dataDir)`,
      { facts: { directory: path, stored_partitions: identity.partitionCount, partitions: partitionCount } },
    );
  }
}

async function newIdentity(environment: Parts, options: DataDirectoryOptions): Promise<NodeIdentity> {
  const { random, clock } = environment;
  const { path, nodeId, partitionCount } = options;
  const identity: NodeIdentity = {
    clusterId: undefined,
    nodeId,
    incarnation: nextIdentity(random).toString(16).padStart(14, '0'),
    partitionCount,
    createdUnixMs: Math.floor(clock.wallMs()),
  };
  await writeIdentity(environment, path, identity);
  return identity;
}

/**
 * Makes the directory a node's, in layout 2 also when it was one in another; durable when it resolves. The cluster id, where
 * there is one, must be durable in cluster.json before.
 */
export async function writeIdentity(environment: Parts, path: string, identity: NodeIdentity): Promise<void> {
  const { clusterId: _, ...fields } = identity;
  await writeSealedJson(environment, `${path}/node.json`, { formatVersion: formatVersions.member, ...fields });
}
