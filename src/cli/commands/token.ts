/** Tokens and the file that says what they may do. No command here talks to a server. */
import { chmod, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type * as tokenTable from '../../server/security/token-table.js';
import type * as tokensFile from '../../server/security/tokens-file.js';
import type { TokenEntry } from '../../server/security/tokens-file.js';
import type { StreamRight } from '../../server/security/rights.js';
import { makeContext, toJsonLine } from '../context.js';
import type { CommandContext, OutputFormat } from '../context.js';
import { CommandError, describeFileProblem, UsageError } from '../failure.js';
import { formatTable, formatTime } from '../format.js';
import type { CommandIo } from '../io.js';
import { parseDuration } from '../time.js';

// Loaded late: a help text needs no server.
const loadServer = async (): Promise<{
  readonly file: typeof tokensFile;
  readonly table: typeof tokenTable;
}> => ({
  file: await import('../../server/security/tokens-file.js'),
  table: await import('../../server/security/token-table.js'),
});

const createHelp = `
Prints a new token, once, and its entry for the tokens file, which holds its
digest only. With --add-to the entry is added to that file, and the token is all
that is printed. A running node takes the file over within a second or two.

A grant is RIGHTS:STREAMS. Rights are append, read and admin (to create, change
and delete streams); in the names of streams * stands for any characters. Rights
on the cluster, with --cluster, are read (to look at nodes and partitions) and
admin.

Examples:
  logboom token create --name shipper --grant 'append:web-*'
  logboom token create --name ops --grant 'read,append,admin:*' --cluster admin
  logboom token create --name guest --grant 'read:web-*,app-*' --expires 30d \\
    --add-to tokens.yaml > guest.token
`;

interface CreateOptions {
  readonly name: string;
  readonly grant: readonly Grant[];
  readonly cluster?: string;
  readonly expires?: number;
  readonly addTo?: string;
  readonly output: OutputFormat;
}

interface Grant {
  readonly streams: readonly string[];
  readonly rights: readonly string[];
}

interface FileOptions {
  readonly tokenFile?: string;
  readonly output: OutputFormat;
}

export function addTokenCommands(program: Command, io: CommandIo): void {
  const token = program.command('token').description('make tokens, and look at the file that says what they may do');
  withOutput(
    token
      .command('create')
      .description('make a token')
      .requiredOption('--name <name>', 'what it is called in the tokens file, errors and logs')
      .addOption(
        new Option('--grant <rights:streams>', 'what it may do with which streams; may be given again')
          .argParser(grantArgument)
          .default([], 'none'),
      )
      .option('--cluster <rights>', 'what it may do with the cluster: read, admin')
      .addOption(new Option('--expires <when>', 'duration from now (90d), or a time').argParser(expiryArgument))
      .option('--add-to <file>', 'tokens file to add the entry to; made when it is missing')
      .addHelpText('after', createHelp)
      .action((options: CreateOptions) => createToken(io, options)),
    io,
  );
  withOutput(
    token
      .command('list')
      .alias('ls')
      .description('check a tokens file, and list its tokens')
      .argument('<file>', 'tokens file')
      .addHelpText('after', '\nExamples:\n  logboom token list tokens.yaml\n')
      .action((file: string, options: FileOptions) => listTokens(io, file, options)),
    io,
  );
  withOutput(
    token
      .command('check')
      .description('tell what a token may do by a tokens file')
      .argument('<file>', 'tokens file')
      .option('--token-file <file>', 'file that holds the token; or LOGBOOM_TOKEN')
      .addHelpText('after', '\nExamples:\n  logboom token check tokens.yaml --token-file guest.token\n')
      .action((file: string, options: FileOptions) => checkToken(io, file, options)),
    io,
  );
}

function withOutput(command: Command, io: CommandIo): void {
  command.addOption(
    new Option('--output <format>', 'how to print; also LOGBOOM_OUTPUT')
      .choices(['text', 'json'])
      .default(io.env['LOGBOOM_OUTPUT'] === 'json' ? 'json' : 'text'),
  );
}

/** `read,append:web-*,app-*` */
function grantArgument(text: string, before: readonly Grant[]): readonly Grant[] {
  const colon = text.indexOf(':');
  if (colon < 1) throw new InvalidArgumentError('it is not RIGHTS:STREAMS, such as read,append:web-*');
  return [...before, { streams: wordsOf(text.slice(colon + 1)), rights: wordsOf(text.slice(0, colon)) }];
}

const wordsOf = (text: string): string[] => text.split(',').map((word) => word.trim());

function expiryArgument(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs !== undefined) return Date.now() + durationMs;
  const atMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs))
    throw new InvalidArgumentError('it is not a duration such as 90d, or a time such as 2027-01-31');
  return atMs;
}

async function createToken(io: CommandIo, options: CreateOptions): Promise<void> {
  const { file, table } = await loadServer();
  const token = table.newToken();
  const { name, grant: grants, cluster, expires: expiresUnixMs, addTo } = options;
  if (grants.length === 0 && cluster === undefined)
    throw new UsageError('a token without --grant and --cluster could do nothing');
  const entry = {
    name,
    sha256: table.digestOf(token).toString('hex'),
    expiresUnixMs,
    grants: grants as TokenEntry['grants'],
    cluster: (cluster === undefined ? [] : wordsOf(cluster)) as TokenEntry['cluster'],
  };
  // What the node would refuse is refused here.
  const text = await inTheirWords(() => file.withTokenEntry('to be made', '', entry), 'the token');
  if (addTo !== undefined) await addToFile(addTo, entry);
  const context = makeContext(io, options.output);
  if (context.format === 'json') return context.output.write(toJsonLine({ token, entry: entryJson(entry) }));
  if (addTo === undefined) {
    context.note('The token, which is shown this once, and the entry for `tokens` in the tokens file of every node:');
    return context.output.write(`${token}\n\n${text.split('\n').slice(2).join('\n')}`);
  }
  context.note(`token ${name} is in ${addTo}; the token itself, which is shown this once:`);
  return context.output.write(`${token}\n`);
}

/** Replaced as a whole: a node that reads it at this moment finds the old file or the new one. */
async function addToFile(path: string, entry: TokenEntry): Promise<void> {
  const { file } = await loadServer();
  const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw fileError(error);
  });
  const text = file.withTokenEntry(path, before, entry);
  const staging = `${path}.new`;
  try {
    await writeFile(staging, text, { mode: 0o640 });
    if (before !== '') await chmod(staging, (await stat(path)).mode);
    await rename(staging, path);
  } catch (error) {
    throw fileError(error);
  }
}

async function listTokens(io: CommandIo, path: string, options: FileOptions): Promise<void> {
  const entries = await readEntries(path);
  const context = makeContext(io, options.output);
  if (context.format === 'json') {
    for (const entry of entries) await context.output.write(toJsonLine(entryJson(entry)));
    return;
  }
  const rows = entries.map((entry) => [entry.name, expiryOf(entry), rightsOf(entry).join('; ')]);
  if (rows.length === 0) context.note('it has no tokens: nobody is let in');
  else await context.output.write(formatTable(['NAME', 'EXPIRES', 'MAY'], rows));
}

async function checkToken(io: CommandIo, path: string, options: FileOptions): Promise<void> {
  const { table } = await loadServer();
  const token = await givenToken(io, options.tokenFile);
  const entry = new table.TokenTable(await readEntries(path)).find(token);
  if (entry === undefined) {
    throw new CommandError('TOKEN_INVALID', `${path} does not have the token`, 'It is misspelt, or was withdrawn.');
  }
  const hasExpired = entry.expiresUnixMs !== undefined && entry.expiresUnixMs <= Date.now();
  if (hasExpired) throw new CommandError('TOKEN_EXPIRED', `token ${entry.name} was valid until ${expiryOf(entry)}`);
  const context = makeContext(io, options.output);
  await context.output.write(context.format === 'json' ? toJsonLine(entryJson(entry)) : describe(context, entry));
}

function describe({ palette }: CommandContext, entry: TokenEntry): string {
  const lines = rightsOf(entry).map((right) => `  ${right}\n`);
  const until = entry.expiresUnixMs === undefined ? 'it is withdrawn' : expiryOf(entry);
  return `token ${palette.bold(entry.name)}, valid until ${until}, may\n${lines.join('') || '  do nothing\n'}`;
}

const expiryOf = ({ expiresUnixMs }: TokenEntry): string =>
  expiresUnixMs === undefined ? 'never' : formatTime(expiresUnixMs);

function rightsOf({ grants, cluster }: TokenEntry): string[] {
  const words = (rights: readonly StreamRight[]): string => rights.join(', ');
  return [
    ...grants.map(({ streams, rights }) => `${words(rights)} on ${streams.join(', ')}`),
    ...(cluster.length === 0 ? [] : [`${cluster.join(', ')} on the cluster`]),
  ];
}

function entryJson({ expiresUnixMs, ...entry }: TokenEntry): object {
  return { ...entry, expires: expiresUnixMs === undefined ? null : formatTime(expiresUnixMs) };
}

async function givenToken({ env }: CommandIo, tokenFile: string | undefined): Promise<string> {
  const path = tokenFile ?? (env['LOGBOOM_TOKEN'] ? undefined : env['LOGBOOM_TOKEN_FILE']);
  if (path !== undefined) return (await readText(path)).trim();
  const token = env['LOGBOOM_TOKEN'];
  if (token) return token;
  throw new UsageError('give the token with --token-file FILE or LOGBOOM_TOKEN');
}

async function readEntries(path: string): Promise<readonly TokenEntry[]> {
  const { file } = await loadServer();
  return file.parseTokensFile(path, await readText(path));
}

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error);
  });

function fileError(error: unknown): unknown {
  const problem = describeFileProblem(error);
  return problem === undefined ? error : new UsageError(problem);
}

async function inTheirWords<Result>(action: () => Result, what: string): Promise<Result> {
  const { isLogboomError } = await import('../../base/errors.js');
  try {
    return action();
  } catch (error) {
    if (!isLogboomError(error, 'CONFIGURATION_INVALID')) throw error;
    // It speaks of a file that is not there yet.
    throw new UsageError(error.message.replace(/^the tokens file [^:]*: /, `${what}: `).replaceAll('tokens[0].', ''));
  }
}
