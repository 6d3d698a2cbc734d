/** Commands that work on a snapshot repository itself, and ask no node: to verify it, and to begin anew from it. */
import { Option } from 'commander';
import type { Command } from 'commander';
import { countArgument, makeContext, sizeArgument, toJsonLine } from '../context.js';
import type { CommandContext, OutputFormat } from '../context.js';
import { CommandError, UsageError } from '../failure.js';
import { isLogboomError } from '../../base/errors.js';
import { formatBytes, formatCount, formatTime, plural } from '../format.js';
import type { CommandIo } from '../io.js';
import { Progress } from '../progress.js';
import type { ProgressState } from '../progress.js';
import { readServerConfiguration } from '../server-configuration.js';
import type {
  ArchiveVerification,
  RestoredPartition,
  RestorePlan,
  SnapshotProgress,
  SnapshotRepository,
} from '../../server/index.js';

interface RepositoryOptions {
  readonly repository?: string;
  readonly config?: string;
  readonly cluster?: string;
  readonly output: OutputFormat;
}

function withRepositoryOptions(command: Command, io: CommandIo): Command {
  const wanted = io.env['LOGBOOM_OUTPUT'];
  const output = new Option('--output <format>', 'how to print; also LOGBOOM_OUTPUT')
    .choices(['text', 'json'])
    .default(wanted === 'json' ? 'json' : 'text');
  return command
    .option('--config <file>', 'configuration file of a node (default: LOGBOOM_CONFIG)')
    .option('--repository <url>', 'the repository (default: snapshots.repository of the configuration)')
    .option('--cluster <id>', 'cluster whose snapshots they are; needed when there are several')
    .addOption(output);
}

const configPathOf = (io: CommandIo, { config }: RepositoryOptions): string | undefined =>
  config ?? io.env['LOGBOOM_CONFIG'];

/** A line that says how far the work is, while somebody looks. */
async function withProgress<Result>(
  { io, format }: CommandContext,
  work: (report: (progress: SnapshotProgress) => void, line: Progress) => Promise<Result>,
): Promise<Result> {
  let state: ProgressState = { bytes: 0, totalBytes: undefined };
  const line = new Progress(io.stderr, () => state);
  if (format === 'text') line.start();
  try {
    return await work(({ bytesDone, bytesTotal }) => {
      state = { bytes: bytesDone, totalBytes: bytesTotal || undefined };
    }, line);
  } finally {
    line.stop();
  }
}

export function addVerifyCommand(snapshot: Command, io: CommandIo): void {
  const command = snapshot
    .command('verify')
    .description('read a whole repository and verify every checksum')
    .argument('[partition]', 'number of the partition; without it, all', countArgument)
    .option('--remove-damaged', 'delete objects that are damaged, so that no later snapshot uses them')
    .addOption(new Option('--bytes-per-second <size>', 'read no faster').argParser(sizeArgument))
    .addHelpText(
      'after',
      `
Reads manifests, confirmations and the content of every chunk that they name,
from the repository itself: no node is asked, and a cluster may go on meanwhile.
Ends with exit code 1 when something is damaged or missing, or a partition has
no snapshot that could be used. Credentials come from the environment, as those
of a node do. A damaged object that is removed is found missing within minutes
by the cluster that owns it, which takes a snapshot without it.

Examples:
  logboom snapshot verify --config /etc/logboom.yaml
  logboom snapshot verify --repository s3://bucket/prefix?region=eu-west-1
  logboom snapshot verify --repository /mnt/snapshots --output json | jq .problems
`,
    )
    .action((partition: number | undefined, options: VerifyOptions) => verify(io, partition, options));
  withRepositoryOptions(command, io);
}

interface VerifyOptions extends RepositoryOptions {
  readonly removeDamaged?: boolean;
  readonly bytesPerSecond?: number;
}

async function verify(io: CommandIo, only: number | undefined, options: VerifyOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const url = options.repository ?? (await configuredRepository(io, options));
  const { withRepository } = await import('../../server/index.js');
  await withRepository(url, context.signal, async (repository) => {
    const { signal } = context;
    let verified = 0;
    const bad: string[] = [];
    const clusters = options.cluster === undefined ? await repository.clusters({ signal }) : [options.cluster];
    for (const cluster of clusters) {
      const partitions = await repository.partitions(cluster, { signal });
      for (const partition of partitions.filter((id) => only === undefined || id === only)) {
        verified += 1;
        const isWell = await verifyOne(context, repository, cluster, partition, options);
        if (!isWell) bad.push(`${partition} of cluster ${cluster}`);
      }
    }
    if (verified === 0) throw new CommandError('SNAPSHOT_NOT_FOUND', `there is no such snapshot in ${url}`);
    if (bad.length === 0) return;
    throw new CommandError(
      'SNAPSHOT_CORRUPT',
      `not all is well with partition ${bad.join(', ')}`,
      'See "A snapshot is damaged" in docs/recovery.md.',
    );
  });
}

async function configuredRepository(io: CommandIo, options: RepositoryOptions): Promise<string> {
  const path = configPathOf(io, options);
  const configuration = await readServerConfiguration(io, path, []);
  const { repository } = configuration.snapshots;
  if (repository !== '') return repository;
  throw new UsageError('no repository: give --repository, or --config of a node that has snapshots.repository');
}

async function verifyOne(
  context: CommandContext,
  repository: SnapshotRepository,
  cluster: string,
  partition: number,
  { removeDamaged = false, bytesPerSecond }: VerifyOptions,
): Promise<boolean> {
  const { removeDamaged: remove, verifyArchive } = await import('../../server/index.js');
  const archive = repository.partition(cluster, partition as Parameters<typeof repository.partition>[1]);
  const { signal, format, output } = context;
  const found = await withProgress(context, (onProgress) =>
    verifyArchive(archive, {
      signal,
      onProgress,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecondMax: bytesPerSecond }),
    }),
  );
  if (removeDamaged) await remove(archive, found.damaged, { signal });
  const isUsable = found.snapshots.some(({ isConfirmed, problems }) => isConfirmed && problems.length === 0);
  const isWell =
    isUsable && found.damaged.length === 0 && found.snapshots.every(({ problems }) => problems.length === 0);
  const removed = removeDamaged ? found.damaged.map(({ object }) => object) : [];
  if (format === 'json') {
    await output.write(toJsonLine({ cluster, partition, isWell, isUsable, ...found, removed }));
  } else {
    await output.write(verificationText(context, { cluster, partition, isWell, isUsable, removed }, found));
  }
  return isWell;
}

interface Verdict {
  readonly cluster: string;
  readonly partition: number;
  readonly isWell: boolean;
  readonly isUsable: boolean;
  readonly removed: readonly string[];
}

function verificationText(
  { palette }: CommandContext,
  { cluster, partition, isWell, isUsable, removed }: Verdict,
  found: ArchiveVerification,
): string {
  const { snapshots, chunks, storedBytes, damaged } = found;
  const verdict = isWell ? palette.green('ok') : palette.red(isUsable ? 'DAMAGED' : 'NOTHING TO RESTORE FROM');
  const read = `${plural(chunks, 'chunk')}, ${formatBytes(storedBytes)} read`;
  const lines = [
    `cluster ${cluster}, partition ${partition}: ${verdict}, ${plural(snapshots.length, 'snapshot')}, ${read}`,
  ];
  for (const { lsn, createdUnixMs, isConfirmed, problems, name } of snapshots) {
    if (problems.length === 0 && isConfirmed) continue;
    const taken = createdUnixMs === undefined ? '' : ` of ${formatTime(createdUnixMs)}`;
    lines.push(`  LSN ${formatCount(lsn)}${taken}, ${name}`);
    if (!isConfirmed) lines.push('    no majority has confirmed it: nobody uses it');
    for (const problem of problems) lines.push(`    ${problem}`);
  }
  for (const { object } of damaged) lines.push(`  ${removed.includes(object) ? 'removed' : 'damaged'}: ${object}`);
  return `${lines.join('\n')}\n`;
}

export function addRestoreCommand(snapshot: Command, io: CommandIo): void {
  const command = snapshot
    .command('restore')
    .description('make the data directory of a node from a repository, when all nodes are lost')
    .option('--join <cluster>', 'another node of the restore that made this cluster; its id is printed there')
    .option('--allow-missing', 'let partitions without a snapshot begin empty')
    .option('--without <manifest...>', 'snapshots that are not to be used')
    .option('--dry-run', 'only say what would come back')
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText(
      'after',
      `
Reads the configuration of the node as \`logboom server\` does, also its flags and
variables, and fills its data directory, which must be absent or empty. The node
is not to run. What comes back is a new cluster, with another id, in which every
stream is as it was at the newest confirmed snapshot of its partition; what was
appended after that is lost, and page tokens that stand beyond it are refused.

In a cluster: on one node first, then on each of the others with --join and the
id that the first has printed; then start them all. Interrupted, run it again.

Examples:
  logboom snapshot restore --config /etc/logboom.yaml --dry-run
  logboom snapshot restore --config /etc/logboom.yaml
  logboom snapshot restore --config /etc/logboom.yaml --join 0a1b2c3d4e5f60
`,
    )
    .action((options: RestoreCommandOptions, command: Command) => restore(io, options, command.args));
  withRepositoryOptions(command, io);
}

interface RestoreCommandOptions extends RepositoryOptions {
  readonly join?: string;
  readonly allowMissing?: boolean;
  readonly without?: readonly string[];
  readonly dryRun?: boolean;
}

async function restore(io: CommandIo, options: RestoreCommandOptions, flags: readonly string[]): Promise<void> {
  const context = makeContext(io, options.output);
  const { signal, output, format } = context;
  const chosen = options.repository === undefined ? flags : [...flags, `--snapshots-repository=${options.repository}`];
  const configuration = await readServerConfiguration(io, configPathOf(io, options), chosen);
  const url = configuration.snapshots.repository;
  if (url === '')
    throw new UsageError('no repository: give --repository, or a configuration with snapshots.repository');
  const { planRestore, restoreNode, withRepository } = await import('../../server/index.js');
  const work = withRepository(url, signal, (repository, environment) =>
    withProgress(context, async (report, line) => {
      const show = async (text: string, json: object): Promise<void> => {
        let written: Promise<void> = Promise.resolve();
        line.interrupt(() => void (written = output.write(format === 'json' ? toJsonLine(json) : text)));
        await written;
      };
      const onPlan = (plan: RestorePlan, isResumed: boolean): Promise<void> =>
        show(planText(plan, configuration.nodeId, url, isResumed), planFacts(plan, configuration.nodeId));
      const onRestored = (partition: RestoredPartition): Promise<void> => show(partitionText(partition), partition);
      const request = {
        sourceClusterId: options.cluster,
        joinPlan: options.join,
        without: options.without ?? [],
        allowMissing: options.allowMissing === true,
        signal,
        onPlan,
        onRestored,
        onProgress: (_: number, progress: SnapshotProgress) => report(progress),
      };
      if (options.dryRun === true) {
        const plan = await planRestore(environment, repository, configuration, request);
        await onPlan(plan, false);
        for (const partition of plan.partitions) await onRestored({ ...partition, streams: undefined });
        context.note('nothing was written: this was a dry run');
        return;
      }
      const plan = await restoreNode(environment, repository, configuration, request);
      context.note(nextSteps(plan, configuration.nodeId, options));
    }),
  );
  await work.catch((error: unknown) => {
    // The usual advice is that for a cluster that runs.
    const isOfSnapshots = isLogboomError(error) && error.reason.startsWith('SNAPSHOT_');
    const hint = 'See "All nodes are lost" in docs/recovery.md.';
    throw isOfSnapshots ? new CommandError(error.reason, error.message, hint) : error;
  });
}

function planFacts({ partitions: _, ...plan }: RestorePlan, nodeId: number): object {
  return { nodeId, ...plan };
}

function planText(plan: RestorePlan, nodeId: number, url: string, isResumed: boolean): string {
  const { clusterId, sourceClusterId, nodes } = plan;
  const node = nodes.length === 1 ? 'a node alone' : `node ${nodeId} of ${nodes.map(({ id }) => id).join(', ')}`;
  return `${isResumed ? 'going on with ' : ''}cluster ${clusterId} (${node}), from snapshots of cluster ${sourceClusterId} in ${url}\n`;
}

function partitionText({ id, snapshot, skipped, streams }: RestoredPartition): string {
  const lines: string[] = [];
  if (snapshot === undefined) lines.push(`partition ${id}: no snapshot, begins empty`);
  else {
    const { lsn, createdUnixMs, bytes } = snapshot;
    const held = streams === undefined ? '' : `, ${plural(streams, 'stream')}`;
    lines.push(
      `partition ${id}: as of LSN ${formatCount(lsn)}, ${formatTime(createdUnixMs)}${held}, ${formatBytes(bytes)}`,
    );
  }
  for (const { lsn, problem } of skipped) lines.push(`  not LSN ${formatCount(lsn)}: ${problem}`);
  return `${lines.join('\n')}\n`;
}

function nextSteps({ clusterId, nodes }: RestorePlan, nodeId: number, options: RestoreCommandOptions): string {
  const start = 'Start it with the same configuration.';
  if (nodes.length === 1) return `The node is restored. ${start}`;
  const others = nodes.filter(({ id }) => id !== nodeId).map(({ id }) => id);
  if (options.join !== undefined || others.length === 0) return `Node ${nodeId} is restored. ${start}`;
  const which = `${others.length === 1 ? 'node' : 'nodes'} ${others.join(', ')}`;
  return `Node ${nodeId} is restored. Run on ${which}, with --join ${clusterId}; then start them all.`;
}
