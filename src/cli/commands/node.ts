import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Configuration, RunningNode, SettingEntry } from '../../server/index.js';
import { makeContext } from '../context.js';
import type { CommandContext } from '../context.js';
import { formatDuration } from '../format.js';
import type { CommandIo } from '../io.js';
import { readServerConfiguration } from '../server-configuration.js';

const devExamples = `
Runs one node with everything embedded, until Ctrl-C: gRPC on PORT, HTTP
(metrics and health) on PORT + 1. Every setting that \`logboom server --help\`
lists can be given as a flag or as a LOGBOOM_... environment variable too.

Examples:
  logboom dev
  logboom dev --data-dir /var/lib/logboom --port 7500
  logboom dev --partitions 2 --log-level info
`;

const serverExamples = `
The same node as \`logboom dev\`, from a configuration file in YAML or JSON. A
flag wins over a LOGBOOM_... environment variable, a variable over the file, the
file over the default; unknown and contradictory settings are refused by name.

Examples:
  logboom server --config /etc/logboom.yaml
  logboom server --config logboom.yaml --wal-segment-bytes 128MiB
  LOGBOOM_DATA_DIR=/data logboom server

A flag such as --wal-segment-bytes is the setting wal.segmentBytes of the file
and the variable LOGBOOM_WAL_SEGMENT_BYTES. Settings:
`;

/** `dev` and `server`: the node itself. Their flags are the settings of the server, which knows and checks them. */
export function addNodeCommands(program: Command, io: CommandIo, settings: readonly SettingEntry[] | undefined): void {
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
      const defaults = [...quietDefaults(chosen, io), ...repositoryDefaults(options.dataDir, chosen, io)];
      await run(io, undefined, [...defaults, ...chosen], true);
    });
  program
    .command('server')
    .description('run a node from a configuration file')
    .option('--config <file>', 'configuration file (default: LOGBOOM_CONFIG)')
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText('after', (context) => `${serverExamples}${settingsHelp(settings ?? [], context.command)}`)
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

function isGiven(name: string, chosen: readonly string[], io: CommandIo): boolean {
  const variable = `LOGBOOM_${name.toUpperCase().replaceAll('-', '_')}`;
  return chosen.some((flag) => flag === `--${name}` || flag.startsWith(`--${name}=`)) || io.env[variable] !== undefined;
}

function quietDefaults(chosen: readonly string[], io: CommandIo): string[] {
  return [
    ...(isGiven('log-format', chosen, io) ? [] : ['--log-format=text']),
    ...(isGiven('log-level', chosen, io) ? [] : ['--log-level=warn']),
  ];
}

/** A place for snapshots on demand. Taken by themselves they would double what one node stores, for little. */
function repositoryDefaults(dataDir: string | undefined, chosen: readonly string[], io: CommandIo): string[] {
  const names = ['snapshots-repository', 'cluster-nodes'];
  if (names.some((name) => isGiven(name, chosen, io))) return [];
  const directory = dataDir ?? io.env['LOGBOOM_DATA_DIR'] ?? 'data';
  return [
    `--snapshots-repository=${directory}/snapshots`,
    ...(isGiven('snapshots-automatic', chosen, io) ? [] : ['--snapshots-automatic=false']),
    ...(isGiven('trim-mode', chosen, io) ? [] : ['--trim-mode=persisted']),
  ];
}

async function run(
  io: CommandIo,
  configPath: string | undefined,
  flags: readonly string[],
  isDev: boolean,
): Promise<void> {
  const configuration = await readServerConfiguration(io, configPath, flags);
  // Loaded late: client commands are to start without the server.
  const { runNode } = await import('../../server/index.js');
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

/** Every setting with its flag, in the width of the other help. */
function settingsHelp(settings: readonly SettingEntry[], command: Command): string {
  const help = command.createHelp();
  const width = command.configureOutput().getOutHelpWidth?.() ?? 80;
  const items = settings.map(({ flag, setting: { form, description, defaultText, isSwitch } }) => {
    const choices = /^\w+(, \w+)+$/.test(form);
    const value = isSwitch ? ` [${form}]` : ` <${choices ? 'word' : form}>`;
    const facts = [choices ? `one of ${form}` : '', defaultText === '' ? '' : `default: ${defaultText}`];
    const shown = facts.filter((fact) => fact !== '').join('; ');
    const text = help.boxWrap(shown === '' ? description : `${description} (${shown})`, width - 6);
    return `  ${flag}${value}\n      ${text.replaceAll('\n', '\n      ')}\n`;
  });
  return items.join('');
}

function banner(context: CommandContext, node: RunningNode, configuration: Configuration): string {
  const { palette, io } = context;
  const command =
    io.env['npm_execpath'] !== undefined || io.env['npm_command'] !== undefined ? 'npx logboom' : 'logboom';
  const address = configuration.port === 7400 ? '' : ` --address ${node.addresses.advertised[0]}`;
  const replayed = node.replayedEntries > 0 ? `, ${node.replayedEntries} log entries replayed` : '';
  // Something to append that is there: in a checkout the README.
  const append = existsSync('README.md')
    ? `${command} append hello README.md${address}`
    : `echo 'hello, log' | ${command} append hello${address}`;
  const directory = node.isNewDirectory ? `${node.dataDirectory} (new)` : node.dataDirectory;
  return `${palette.bold(`logboom ${node.version}`)}, ready in ${formatDuration(node.startMs)}${replayed}

  gRPC   ${node.addresses.grpc}
  HTTP   ${node.addresses.http}/metrics, ${node.addresses.http}/readyz
  data   ${directory}

Try, in another terminal:

  ${append}
  ${command} read hello --limit 5${address}
  ${command} tail hello${address}

Ctrl-C stops the node.
`;
}
