import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Configuration, RunningNode } from '../../server/index.js';
import { makeContext } from '../context.js';
import type { CommandContext } from '../context.js';
import { formatDuration } from '../format.js';
import type { CommandIo } from '../io.js';

const devExamples = `
Starts one node with everything embedded, until Ctrl-C: gRPC on PORT, HTTP (metrics and health) on PORT + 1. Every other
setting can be given as a flag or as a LOGBOOM_... environment variable too; see docs/configuration.md.

Examples:
  logboom dev
  logboom dev --data-dir /var/lib/logboom --port 7500
  logboom dev --partitions 2 --log-level info
`;

const serverExamples = `
The same node as \`logboom dev\`, from a configuration file in YAML or JSON. A flag wins over a LOGBOOM_... environment
variable, a variable over the file, the file over the default; unknown and contradictory settings are refused by name.
See docs/configuration.md for all of them.

Examples:
  logboom server --config /etc/logboom.yaml
  logboom server --config logboom.yaml --wal-segment-bytes 128MiB
  LOGBOOM_DATA_DIR=/data logboom server
`;

/** `dev` and `server`: the node itself. Their flags are the settings of the server, which knows and checks them. */
export function addNodeCommands(program: Command, io: CommandIo): void {
  program
    .command('dev')
    .description('run one node, everything embedded')
    .option('--data-dir <dir>', 'where everything is stored (default: "data")')
    .option('--port <n>', 'port of gRPC; HTTP is on the next one (default: 7400)')
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText('after', devExamples)
    .action(async (options: { dataDir?: string; port?: string }, command: Command) => {
      // For a person at a terminal: the banner says what an info log would.
      const chosen = [...flagsOf(options), ...command.args];
      const defaults = quietDefaults(chosen, io);
      await run(io, undefined, [...defaults, ...chosen], true);
    });
  program
    .command('server')
    .description('run a node from a configuration file')
    .option('--config <file>', 'configuration file (default: LOGBOOM_CONFIG)')
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText('after', serverExamples)
    .action(async (options: { config?: string }, command: Command) => {
      await run(io, options.config ?? io.env['LOGBOOM_CONFIG'], command.args, false);
    });
}

function flagsOf(options: { dataDir?: string; port?: string }): string[] {
  const flags: string[] = [];
  if (options.dataDir !== undefined) flags.push(`--data-dir=${options.dataDir}`);
  if (options.port !== undefined) flags.push(`--port=${options.port}`);
  return flags;
}

function quietDefaults(chosen: readonly string[], io: CommandIo): string[] {
  const given = (name: string, variable: string): boolean =>
    chosen.some((flag) => flag === `--${name}` || flag.startsWith(`--${name}=`)) || io.env[variable] !== undefined;
  return [
    ...(given('log-format', 'LOGBOOM_LOG_FORMAT') ? [] : ['--log-format=text']),
    ...(given('log-level', 'LOGBOOM_LOG_LEVEL') ? [] : ['--log-level=warn']),
  ];
}

async function run(
  io: CommandIo,
  configPath: string | undefined,
  flags: readonly string[],
  isDev: boolean,
): Promise<void> {
  const file = configPath === undefined ? undefined : { path: configPath, text: await readFile(configPath, 'utf8') };
  // Loaded late: client commands are to start without the server.
  const { loadConfiguration, runNode } = await import('../../server/index.js');
  const { configuration } = loadConfiguration({ file, environment: io.env, flags });
  const context = makeContext(io, 'text');
  const code = await runNode(configuration, {
    onStarted: (node) => {
      if (isDev) void context.output.write(banner(context, node, configuration));
    },
  });
  if (code !== 0)
    throw Object.assign(new Error('the node did not stop cleanly; its log says why'), { code: 'STOP_FAILED' });
  if (isDev) await context.output.write('stopped; everything is on disk\n');
}

function banner(context: CommandContext, node: RunningNode, configuration: Configuration): string {
  const { palette, io } = context;
  const command =
    io.env['npm_execpath'] !== undefined || io.env['npm_command'] !== undefined ? 'npx logboom' : 'logboom';
  const address = configuration.port === 7400 ? '' : ` --address ${node.addresses.advertised[0]}`;
  const replayed = node.replayedEntries > 0 ? `, ${node.replayedEntries} log entries replayed` : '';
  const directory = node.isNewDirectory ? `${node.dataDirectory} (new)` : node.dataDirectory;
  return `${palette.bold(`logboom ${node.version}`)}, ready in ${formatDuration(node.startMs)}${replayed}

  gRPC   ${node.addresses.grpc}
  HTTP   ${node.addresses.http}/metrics, ${node.addresses.http}/readyz
  data   ${directory}

Try, in another terminal:

  ${command} append hello README.md${address}
  ${command} read hello --limit 5${address}
  ${command} tail hello${address}

Ctrl-C stops the node.
`;
}
