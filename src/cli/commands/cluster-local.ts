import { existsSync } from 'node:fs';
import path from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { countArgument, makeContext, positiveArgument, toJsonLine } from '../context.js';
import type { CommandContext, OutputFormat } from '../context.js';
import { CommandError, UsageError } from '../failure.js';
import { formatDuration, formatTable, plural } from '../format.js';
import type { CommandIo } from '../io.js';
import { NodeListFile } from '../local-cluster/node-list.js';
import type { NodeEntry } from '../local-cluster/node-list.js';
import { addNodeActions, defaultDirectory, withLocalOptions } from './cluster-local-nodes.js';

const nodesMax = 9;

const examples = `
Runs a whole cluster of processes on loopback until Ctrl-C, to try things out:
gRPC on PORT, PORT + 10, PORT + 20 ..., HTTP (metrics and health) one above
each, links between nodes two above. DIR/nodes.json has name, pid, addresses
and state of each node, DIR/NAME/log what the node writes. Run again on the same
DIR, the cluster goes on with what it stored.

Nothing is restarted by itself: nodes that are killed stay so until they are
started, which is what this is for. Cutting nodes off from each other is not
possible here: on one machine that takes network namespaces.

Every setting that \`logboom server --help\` lists can be given as a flag too,
for all nodes.

Examples:
  logboom cluster local -n 3
  logboom cluster local -n 5 --data-dir /tmp/five --port 8400 --partitions 16
  logboom cluster local kill n1           and see \`logboom cluster status\`
  logboom cluster local start n1
`;

interface LocalOptions {
  readonly nodes?: number;
  readonly port?: number;
  readonly dataDir: string;
  readonly output: OutputFormat;
}

export function addClusterLocal(cluster: Command, io: CommandIo): void {
  const local = cluster
    .command('local')
    .description('run a whole cluster on this machine, to try things out')
    .argument('[settings...]')
    .addOption(new Option('-n, --nodes <count>', 'number of nodes (default: 3)').argParser(positiveArgument))
    .addOption(new Option('--port <n>', 'gRPC port of the first node (default: 7400)').argParser(countArgument))
    .allowUnknownOption()
    .enablePositionalOptions()
    .addHelpText('after', examples)
    .action((_settings: string[], options: LocalOptions, command: Command) => runLocal(io, options, command.args));
  withLocalOptions(local, io);
  addNodeActions(local, io);
}

async function runLocal(io: CommandIo, options: LocalOptions, settings: readonly string[]): Promise<void> {
  const [first] = settings;
  if (first !== undefined && !first.startsWith('--'))
    throw new UsageError(`cluster local has no command "${first}": it has start, kill, stop, pause, resume and list`);
  if (options.nodes !== undefined && options.nodes > nodesMax)
    throw new UsageError(`-n is ${options.nodes}: a machine takes at most ${nodesMax} nodes here`);
  const context = makeContext(io, options.output);
  const signal = hangUpAlso(io.interrupted);
  // Loaded late: a help text needs no processes.
  const { LocalCluster } = await import('../local-cluster/supervisor.js');
  const file = new NodeListFile(options.dataDir);
  const cluster = new LocalCluster(file, {
    nodeCount: options.nodes,
    port: options.port,
    flags: settings,
    env: io.env,
    signal,
    onChange: (entry) => void context.output.write(changeText(context, entry)),
  });
  const startedMs = performance.now();
  const nodes = await cluster.start().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  if (nodes === undefined) return context.note('stopped while starting');
  await context.output.write(readyText(context, nodes, file.directory, performance.now() - startedMs));
  await cluster.watch();
  context.note(`stopping ${plural(nodes.length, 'node')}`);
  const killed = await cluster.stop();
  if (killed.length > 0)
    throw new CommandError('STOP_FAILED', `${killed.join(', ')} did not stop and had to be killed; the log says why`);
  const everythingStopped =
    context.format === 'json' ? toJsonLine({ event: 'stopped' }) : 'stopped; everything is on disk\n';
  await context.output.write(everythingStopped);
}

/** A terminal that is closed ends what runs in it; without one (nohup), the hang-up is not meant for this command. */
function hangUpAlso(interrupted: AbortSignal): AbortSignal {
  if (!process.stdin.isTTY && !process.stdout.isTTY && !process.stderr.isTTY) return interrupted;
  const hangUp = new AbortController();
  process.once('SIGHUP', () => hangUp.abort(new Error('SIGHUP')));
  return AbortSignal.any([interrupted, hangUp.signal]);
}

function readyText(context: CommandContext, nodes: readonly NodeEntry[], directory: string, startMs: number): string {
  if (context.format === 'json') return toJsonLine({ event: 'ready', dataDirectory: directory, nodes });
  const { palette, io } = context;
  const fromPackage = io.env['npm_execpath'] !== undefined || io.env['npm_command'] !== undefined;
  const command = fromPackage ? 'npx logboom' : 'logboom';
  const rows = nodes.map(({ name, grpc, http, pid }) => [name, grpc, `${http}/metrics`, String(pid)]);
  const addresses = nodes.map(({ grpc }) => grpc).join(',');
  // Something to append that is there: in a checkout the README.
  const append = existsSync('README.md')
    ? `${command} append hello README.md`
    : `echo 'hello, cluster' | ${command} append hello`;
  const where = directory === path.resolve(defaultDirectory) ? '' : ` --data-dir ${directory}`;
  const table = formatTable(['NAME', 'GRPC', 'HTTP', 'PID'], rows).replaceAll(/^(?=.)/gm, '  ');
  return `${palette.bold(`a cluster of ${plural(nodes.length, 'node')}`)}, ready in ${formatDuration(startMs)}

${table}
  data in ${directory}

Try, in another terminal:

  export LOGBOOM_ADDRESS=${addresses}
  ${append}
  ${command} cluster status
  ${command} cluster local kill n1${where}
  ${command} read hello --limit 5
  ${command} cluster local start n1${where}

Ctrl-C stops all nodes.
`;
}

function changeText(context: CommandContext, entry: NodeEntry): string {
  if (context.format === 'json') return toJsonLine({ event: 'node', ...entry });
  const { name, state, pid, log } = entry;
  const { palette } = context;
  const pidText = pid === null ? '' : ` (pid ${pid})`;
  const why = state === 'exited' ? `, by itself: see ${log}` : '';
  return `${name} ${state === 'running' ? palette.green(state) : palette.yellow(state)}${pidText}${why}\n`;
}
