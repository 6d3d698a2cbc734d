/** Commands that act on single nodes of a local cluster, from another terminal than the one it runs in. */
import { Option } from 'commander';
import type { Command } from 'commander';
import { makeContext, toJsonLine } from '../context.js';
import type { CommandContext, OutputFormat } from '../context.js';
import { CommandError, UsageError } from '../failure.js';
import { formatTable } from '../format.js';
import type { CommandIo } from '../io.js';
import type * as nodeProcess from '../local-cluster/node-process.js';
import { NodeListFile } from '../local-cluster/node-list.js';
import type { NodeEntry, NodeList } from '../local-cluster/node-list.js';

export const defaultDirectory = 'data-cluster';
const startMs = 60_000;

interface NodeOptions {
  readonly dataDir: string;
  readonly output: OutputFormat;
  readonly all?: boolean;
}

/** What an action works with. */
interface Target {
  readonly file: NodeListFile;
  readonly list: NodeList;
  readonly entry: NodeEntry;
  readonly io: CommandIo;
  readonly processes: typeof nodeProcess;
}

interface Action {
  readonly name: string;
  readonly description: string;
  readonly help: string;
  /** @returns the entry as it is then */
  readonly run: (target: Target) => Promise<NodeEntry>;
}

const noProcess = { pid: null, process_start: null };

const actions: readonly Action[] = [
  {
    name: 'start',
    description: 'start a node that does not run, and wait until it serves',
    help: 'The node goes on with what it stored, at its old addresses.',
    run: async ({ file, list, entry, io, processes }) => {
      if (processes.processOf(entry))
        throw new CommandError('NODE_RUNNING', `node ${entry.name} runs already (pid ${entry.pid})`);
      if (!list.supervisor || !processes.isRunning(list.supervisor))
        throw new CommandError(
          'CLUSTER_NOT_RUNNING',
          `no cluster runs in ${file.directory}`,
          'Start it with `logboom cluster local`.',
        );
      const { child, process: started } = await processes.spawnNode(entry, list.nodes, list.flags, io.env);
      // It goes on after this command.
      child.unref();
      const change = { pid: started.pid, process_start: started.start };
      const starting = await file.update(entry.name, () => ({ ...change, state: 'starting' }));
      await processes.untilReady(starting, startMs, io.interrupted);
      return file.update(entry.name, (now) => (now.pid === started.pid ? { state: 'running' } : {}));
    },
  },
  {
    name: 'kill',
    description: 'end the process of a node at once (kill -9)',
    help: 'As when the machine takes it away: nothing is flushed, nobody is told.',
    run: async ({ file, entry, processes }) => {
      await file.update(entry.name, () => ({ state: 'killed' }));
      await processes.killNode(entry);
      return file.update(entry.name, ({ pid }) => (pid === entry.pid ? { state: 'killed', ...noProcess } : {}));
    },
  },
  {
    name: 'stop',
    description: 'stop a node in good order (SIGTERM)',
    help: 'It hands its leaderships over, answers what is in flight and flushes.',
    run: async ({ file, entry, processes }) => {
      await file.update(entry.name, () => ({ state: 'stopped' }));
      const ending = await processes.stopNode(entry);
      const state = ending === 'killed' ? 'killed' : 'stopped';
      return file.update(entry.name, ({ pid }) => (pid === entry.pid ? { state, ...noProcess } : {}));
    },
  },
  {
    name: 'pause',
    description: 'stop the process of a node in its tracks (SIGSTOP)',
    help: 'As a machine that hangs: its connections stay open, and nothing answers.',
    run: async ({ file, entry, processes }) => {
      processes.signalNode(entry, 'SIGSTOP');
      return file.update(entry.name, () => ({ state: 'paused' }));
    },
  },
  {
    name: 'resume',
    description: 'let a paused node go on (SIGCONT)',
    help: 'The node finds that time has passed, and catches up.',
    run: async ({ file, entry, processes }) => {
      processes.signalNode(entry, 'SIGCONT');
      return file.update(entry.name, () => ({ state: 'running' }));
    },
  },
];

export function addNodeActions(local: Command, io: CommandIo): void {
  for (const action of actions) {
    const command = local
      .command(action.name)
      .description(action.description)
      .argument('[names...]', 'names of nodes, as `logboom cluster local list` shows them')
      .option('--all', 'every node')
      .addHelpText('after', `\n${action.help}\n\nExamples:\n  logboom cluster local ${action.name} n1\n`)
      .action((names: string[]) => act(io, action, names, optionsOf(command)));
    withLocalOptions(command, io);
  }
  const list = local
    .command('list')
    .alias('ls')
    .description('show the nodes: names, states, pids and addresses')
    .addHelpText(
      'after',
      '\nExamples:\n  logboom cluster local list\n  logboom cluster local list --output json | jq .pid\n',
    )
    .action(() => showNodes(io, optionsOf(list)));
  withLocalOptions(list, io);
}

/** Adds `--data-dir` and `--output`. */
export function withLocalOptions(command: Command, io: CommandIo): Command {
  const wanted = io.env['LOGBOOM_OUTPUT'];
  return command
    .addOption(new Option('--data-dir <dir>', 'directory of the cluster').default(defaultDirectory))
    .addOption(
      new Option('--output <format>', 'how to print; also LOGBOOM_OUTPUT')
        .choices(['text', 'json'])
        .default(wanted === 'json' ? 'json' : 'text'),
    );
}

/** `cluster local` has the same options, and they may stand before the name of the action too. */
function optionsOf(command: Command): NodeOptions {
  const { parent } = command;
  const options: Record<string, unknown> = command.opts();
  for (const name of ['dataDir', 'output']) {
    if (command.getOptionValueSource(name) === 'default' && parent?.getOptionValueSource(name) === 'cli')
      options[name] = parent.getOptionValue(name);
  }
  return options as unknown as NodeOptions;
}

async function act(io: CommandIo, action: Action, names: readonly string[], options: NodeOptions): Promise<void> {
  if ((names.length === 0) === (options.all !== true)) throw new UsageError('give the names of nodes, or --all');
  const context = makeContext(io, options.output);
  const { file, list } = await openList(options);
  const processes = await import('../local-cluster/node-process.js');
  for (const name of options.all ? list.nodes.map((node) => node.name) : names) {
    const entry = findNode(list, name, file.directory);
    const isThere = processes.processOf(entry) !== undefined;
    // Of all, those are meant for which there is something to do.
    if (options.all && isThere === (action.name === 'start')) continue;
    if (!isThere && action.name !== 'start') throw notRunning(entry);
    const startedMs = performance.now();
    const changed = await action.run({ file, list, entry, io, processes });
    await tell(context, changed, performance.now() - startedMs);
  }
}

async function tell(context: CommandContext, entry: NodeEntry, tookMs: number): Promise<void> {
  const pid = entry.pid === null ? '' : ` (pid ${entry.pid})`;
  const text = `${entry.name} ${entry.state}${pid}, after ${(tookMs / 1000).toFixed(2)} s\n`;
  await context.output.write(context.format === 'json' ? toJsonLine(entry) : text);
}

function notRunning({ name, state }: NodeEntry): CommandError {
  return new CommandError(
    'NODE_NOT_RUNNING',
    `node ${name} does not run (${state})`,
    `Start it with \`logboom cluster local start ${name}\`.`,
  );
}

/** `n1`, or its number. */
function findNode({ nodes }: NodeList, name: string, directory: string): NodeEntry {
  const found = nodes.find((node) => node.name === name || String(node.node_id) === name);
  if (found) return found;
  throw new CommandError(
    'NODE_NOT_FOUND',
    `there is no node ${name} in ${directory}`,
    `There are ${nodes.map((node) => node.name).join(', ')}.`,
  );
}

async function openList(options: NodeOptions): Promise<{ readonly file: NodeListFile; readonly list: NodeList }> {
  const file = new NodeListFile(options.dataDir);
  const list = await file.read();
  if (list) return { file, list };
  throw new CommandError(
    'CLUSTER_NOT_FOUND',
    `there is no local cluster in ${file.directory}`,
    'Start one with `logboom cluster local`, or name its directory with --data-dir.',
  );
}

async function showNodes(io: CommandIo, options: NodeOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const { list } = await openList(options);
  const { processOf } = await import('../local-cluster/node-process.js');
  const nodes = list.nodes.map((entry) =>
    entry.pid !== null && !processOf(entry) ? { ...entry, ...noProcess, state: 'exited' } : entry,
  );
  if (context.format === 'json') {
    for (const entry of nodes) await context.output.write(toJsonLine(entry));
    return;
  }
  const rows = nodes.map(({ name, state, pid, grpc, http, log }) => [name, state, pid ?? '-', grpc, http, log]);
  await context.output.write(formatTable(['NAME', 'STATE', 'PID', 'GRPC', 'HTTP', 'LOG'], rows));
}
