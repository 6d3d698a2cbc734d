import type { Command } from 'commander';
import type { ClusterInfo } from '../../client/index.js';
import { countArgument, makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { CommandError } from '../failure.js';
import { formatCount } from '../format.js';
import type { CommandIo } from '../io.js';
import { explainTrim } from '../trim-explanation.js';
import type { TrimExplanation } from '../trim-explanation.js';
import { explainHeld } from '../trim-reasons.js';
import type { HeldReason } from '../trim-reasons.js';

const examples = `
Lets the log go as far as is safe: up to the newest archived snapshot, or on a
single node with trim.mode persisted up to what its store has flushed. That
happens by itself too; the command does it now, and says what holds the rest.
Records that are stored stay: only retention deletes them.

Examples:
  logboom trim 3 --dry-run
  logboom trim 3
  logboom trim explain
`;

const explainExamples = `
Names what holds trimming back, and what to do about it: no repository, a
snapshot that failed, a node that has not proved that it sees the repository, a
replica that fetches a snapshot, and whatever else there is.

Examples:
  logboom trim explain
  logboom trim explain 3
  logboom trim explain --output json | jq '.held[].kind'
`;

export function addTrimCommands(program: Command, io: CommandIo): void {
  const trim = program
    .command('trim')
    .description('trim the log of a partition, or explain what holds it')
    .argument('<partition>', 'number of the partition', countArgument)
    .option('--dry-run', 'only say what would be done')
    .enablePositionalOptions()
    .addHelpText('after', examples)
    .action((partition: number, options: CommonOptions & { dryRun?: boolean }) => runTrim(io, partition, options));
  withCommonOptions(trim, io, ['text', 'json']);
  const explain = trim
    .command('explain')
    .description('name what holds trimming back, and what to do about it')
    .argument('[partition]', 'number of the partition; without it, all', countArgument)
    .addHelpText('after', explainExamples)
    .action((partition: number | undefined, options: CommonOptions) => runExplain(io, partition, options));
  withCommonOptions(explain, io, ['text', 'json']);
}

async function runTrim(
  io: CommandIo,
  partition: number,
  options: CommonOptions & { readonly dryRun?: boolean },
): Promise<void> {
  const context = makeContext(io, options.output);
  const dryRun = options.dryRun === true;
  await withClient(options, async (client) => {
    const outcome = await client.cluster.trim(partition, { dryRun, signal: context.signal });
    const { trimPoint, archivedLsn, mode, heldBecause } = outcome;
    const held = explainHeld(heldBecause);
    if (context.format === 'json') {
      return context.output.write(toJsonLine({ partition, dryRun, trimPoint, archivedLsn, mode, heldBecause, held }));
    }
    const begins = `${dryRun ? 'could begin' : 'begins'} at LSN ${formatCount(trimPoint + 1)}`;
    const archived = archivedLsn > 0 ? `archived LSN ${formatCount(archivedLsn)}` : 'nothing is archived';
    await context.output.write(`partition ${partition}: the log ${begins}; ${archived}; mode ${mode}\n`);
    await context.output.write(heldText(held, context));
  });
}

async function runExplain(io: CommandIo, only: number | undefined, options: CommonOptions): Promise<void> {
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    const { signal } = context;
    const [cluster, partitions] = await Promise.all([
      client.cluster.describe({ signal }),
      client.cluster.partitions({ signal }),
    ]);
    const chosen = partitions.filter(({ id }) => only === undefined || id === only);
    if (chosen.length === 0) throw new CommandError('PARTITION_NOT_FOUND', `there is no partition ${only}`);
    for (const partition of chosen) {
      const explanation = explainTrim(partition);
      if (context.format === 'json') await context.output.write(toJsonLine(explanation));
      else await context.output.write(explanationText(explanation, cluster, context));
    }
  });
}

function explanationText(explanation: TrimExplanation, { nodes }: ClusterInfo, context: CommandContext): string {
  const { palette } = context;
  const { partition, mode, trimPoint, archivedLsn, commitLsn, held, behind } = explanation;
  const nameOf = (id: number): string => nodes.find((node) => node.id === id)?.name ?? `node ${id}`;
  const verdict = held.length === 0 ? palette.green('nothing holds it') : palette.yellow('held');
  const archived = archivedLsn > 0 ? `, archived to ${formatCount(archivedLsn)}` : '';
  const range = `LSN ${formatCount(trimPoint + 1)} to ${formatCount(commitLsn)}${archived}`;
  const what = explanation.leaderNode === undefined ? '' : `; the log has ${range}; mode ${mode}`;
  const others = behind.map(
    ({ node, trimPoint: own, why }) =>
      `  the log on ${nameOf(node)} ${own > 0 ? `begins at LSN ${formatCount(own + 1)}` : 'begins earlier'}: ${why}\n`,
  );
  return `${palette.bold(`partition ${partition}`)}: ${verdict}${what}\n${heldText(held, context)}${others.join('')}`;
}

function heldText(held: readonly HeldReason[], { palette }: CommandContext): string {
  return held
    .map(({ reason, action }) => `  held: ${reason}\n${action === '' ? '' : `    ${palette.dim(action)}\n`}`)
    .join('');
}
