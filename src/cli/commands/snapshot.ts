import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { CreatedSnapshot, LogboomClient } from '../../client/index.js';
import { countArgument, makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { CommandError, describeFailure, failureJson, UsageError } from '../failure.js';
import { formatCount, formatDuration, formatTable, plural } from '../format.js';
import type { CommandIo } from '../io.js';
import { Progress } from '../progress.js';
import { addRestoreCommand, addVerifyCommand } from './snapshot-repository.js';
import type { ProgressState } from '../progress.js';

/** How often the server is asked how far a snapshot is. */
const pollMs = 500;

export function addSnapshotCommands(program: Command, io: CommandIo): void {
  const snapshot = program
    .command('snapshot')
    .description('take, list and verify snapshots of partitions, and begin anew from them')
    .addHelpText(
      'after',
      `
Examples:
  logboom snapshot create --all
  logboom snapshot list
  logboom snapshot verify --config /etc/logboom.yaml
`,
    );
  addCreate(snapshot, io);
  addList(snapshot, io);
  addVerifyCommand(snapshot, io);
  addRestoreCommand(snapshot, io);
}

interface SelectOptions extends CommonOptions {
  readonly all?: boolean;
}

function addCreate(snapshot: Command, io: CommandIo): void {
  const command = snapshot
    .command('create')
    .description('take a snapshot of a partition')
    .argument('[partition]', 'number of the partition; 0 is the metadata of a cluster', countArgument)
    .option('--all', 'every partition, one after another')
    .addHelpText(
      'after',
      `
Ends when the snapshot is complete in the repository, a quorum of replicas has
confirmed it, and the group has committed it; only what is new is uploaded. A
snapshot that is under way is joined. Appends and reads go on meanwhile. With
--all a partition that fails does not keep the others from theirs; the exit
code is then 1. With --output json each snapshot is a line.

Examples:
  logboom snapshot create 3
  logboom snapshot create --all
  logboom snapshot create --all --output json | jq .archived_lsn
`,
    )
    .action((id: number | undefined, options: SelectOptions) => create(io, id, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function create(io: CommandIo, id: number | undefined, options: SelectOptions): Promise<void> {
  if ((id === undefined) === (options.all !== true)) throw new UsageError('give the number of a partition, or --all');
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    if (id !== undefined) return createOne(context, client, id);
    const ids = await allPartitions(context, client);
    const failed: { readonly partition: number; readonly reason: string }[] = [];
    for (const partition of ids) {
      try {
        await createOne(context, client, partition);
      } catch (error) {
        const { reason, message } = describeFailure(error);
        if (!ofOnePartition.has(reason)) throw error;
        failed.push({ partition, reason });
        if (context.format === 'json') io.stderr.write(failureJson(error));
        else io.stderr.write(`partition ${partition}: ${message} (${reason})\n`);
      }
    }
    const [first] = failed;
    if (first === undefined) return;
    const which = failed.map(({ partition }) => partition).join(', ');
    throw new CommandError(first.reason, `no snapshot of ${plural(failed.length, 'partition')}: ${which}`);
  });
}

/** Failures that say nothing about other partitions. */
const ofOnePartition = new Set([
  'NOT_LEADER',
  'LEADERSHIP_LOST',
  'PARTITION_STOPPED',
  'SNAPSHOT_NOT_CONFIRMED',
  'SNAPSHOT_EXPIRED',
  'SNAPSHOT_CORRUPT',
  'STATE_DIVERGED',
  'STATE_DISPUTED',
  'STATE_STORE_FAILED',
  'DATA_CORRUPT',
]);

/** Metadata first, where there is a cluster: it is not listed with those that hold streams. */
async function allPartitions({ signal }: CommandContext, client: LogboomClient): Promise<number[]> {
  const [{ nodes }, partitions] = await Promise.all([
    client.cluster.describe({ signal }),
    client.cluster.partitions({ signal }),
  ]);
  const ids = partitions.map((partition) => partition.id);
  return nodes.length > 1 && !ids.includes(0) ? [0, ...ids] : ids;
}

async function createOne(context: CommandContext, client: LogboomClient, partition: number): Promise<void> {
  const startedMs = performance.now();
  const ended = new AbortController();
  const watch = new SnapshotWatch(client, partition);
  const progress = new Progress(context.io.stderr, () => watch.state);
  const isWatched = context.format === 'text' && context.io.stderr.isTTY === true;
  const polling = isWatched ? watch.run(AbortSignal.any([ended.signal, context.signal])) : undefined;
  if (isWatched) progress.start();
  let created: CreatedSnapshot;
  try {
    created = await client.cluster.createSnapshot(partition, { signal: context.signal });
  } finally {
    ended.abort();
    await polling;
    progress.stop();
  }
  const { archivedLsn, manifest } = created;
  const tookMs = Math.round(performance.now() - startedMs);
  if (context.format === 'json') {
    await context.output.write(toJsonLine({ partition, archivedLsn, manifest, tookMs }));
    return;
  }
  const what = `archived up to LSN ${formatCount(archivedLsn)} in ${formatDuration(tookMs)}`;
  await context.output.write(`partition ${partition}: ${context.palette.green('ok')}, ${what}, ${manifest}\n`);
}

/** How far a snapshot is, as the replica that takes it says. */
class SnapshotWatch {
  state: ProgressState = { bytes: 0, totalBytes: undefined };
  readonly #client: LogboomClient;
  readonly #partition: number;
  #bytesBefore: number | undefined;

  constructor(client: LogboomClient, partition: number) {
    this.#client = client;
    this.#partition = partition;
  }

  /** Until `signal` aborts. A look that fails is only one that is missing. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(signal).catch(() => {});
      await sleep(pollMs, undefined, { signal }).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const partitions = await this.#client.cluster.partitions({ signal });
    const replicas = partitions.find(({ id }) => id === this.#partition)?.replicas ?? [];
    const snapshot = replicas.find((replica) => replica.snapshot !== undefined)?.snapshot;
    if (snapshot === undefined) return;
    // One that was joined has bytes that nobody saw going.
    this.#bytesBefore ??= snapshot.bytesDone;
    this.state = {
      bytes: snapshot.bytesDone,
      bytesBefore: this.#bytesBefore,
      totalBytes: snapshot.bytesTotal || undefined,
    };
  }
}

function addList(snapshot: Command, io: CommandIo): void {
  const command = snapshot
    .command('list')
    .alias('ls')
    .description('list the snapshots in the repository')
    .argument('[partition]', 'number of the partition; without it, all', countArgument)
    .option('--all', 'every partition, which is the default')
    .addHelpText(
      'after',
      `
The newest first. "archived" marks the one that the partition relies on: it was
read back, and a quorum has confirmed it. Newer ones may be unfinished business
of a leader that was lost; older ones are kept in case that one is damaged.
With --output json each snapshot is a line.

Examples:
  logboom snapshot list
  logboom snapshot list 3
  logboom snapshot list --output json | jq 'select(.archived)'
`,
    )
    .action((id: number | undefined, options: SelectOptions) => list(io, id, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function list(io: CommandIo, id: number | undefined, options: SelectOptions): Promise<void> {
  if (id !== undefined && options.all === true) throw new UsageError('give the number of a partition, or --all');
  const context = makeContext(io, options.output);
  const { signal, palette } = context;
  await withClient(options, async (client) => {
    const ids = id === undefined ? await allPartitions(context, client) : [id];
    const rows: (string | number)[][] = [];
    const without: number[] = [];
    let repository = '';
    for (const partition of ids) {
      const { snapshots, repositoryId } = await client.cluster.listSnapshots(partition, { signal });
      repository = repositoryId;
      if (snapshots.length === 0) without.push(partition);
      for (const { manifest, lsn, term, archived } of snapshots) {
        if (context.format === 'json')
          await context.output.write(toJsonLine({ partition, lsn, term, archived, manifest, repositoryId }));
        rows.push([partition, lsn, term, archived ? 'yes' : '-', manifest]);
      }
    }
    if (context.format === 'json') return;
    await context.output.write(`${palette.bold('repository')} ${repository}\n`);
    if (rows.length > 0)
      await context.output.write(formatTable(['PARTITION', 'LSN', 'TERM', 'ARCHIVED', 'MANIFEST'], rows));
    if (without.length > 0)
      await context.output.write(`no snapshot of partition ${without.join(', ')}: see \`logboom snapshot create\`\n`);
  });
}
