import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { ClientOptions, CredentialOptions, LogboomClient } from '../client/index.js';
import { makePalette } from './format.js';
import type { Palette } from './format.js';
import { UsageError } from './failure.js';
import { Output } from './io.js';
import type { CommandIo } from './io.js';
import { parseDuration, parseSize, parseTime } from './time.js';

export type OutputFormat = 'text' | 'json' | 'raw';

/** Options that every client command takes. */
export interface CommonOptions {
  readonly address: string;
  readonly output: OutputFormat;
  readonly deadline: number;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly tokenFile?: string;
  readonly allowPlaintextToken?: boolean;
  /** Of LOGBOOM_TOKEN: no flag has it, because command lines are seen by everybody on a machine. */
  readonly token?: string;
}

/** What a command works with. */
export interface CommandContext {
  readonly io: CommandIo;
  readonly output: Output;
  readonly format: OutputFormat;
  /** For standard output, and for messages on standard error. */
  readonly palette: Palette;
  readonly messagePalette: Palette;
  /** Aborts when the user interrupts, or nobody reads the output any more. */
  readonly signal: AbortSignal;
  /** A line for people on standard error; nothing in JSON, so that both streams can be parsed. */
  note(text: string): void;
}

/** Adds `--address`, `--output`, `--deadline`, and how to reach a server that is secured. */
export function withCommonOptions(command: Command, io: CommandIo, formats: readonly OutputFormat[]): Command {
  const address = new Option(
    '--address <host:port,...>',
    'node to talk to; of several, the next when one does not answer',
  ).default(io.env['LOGBOOM_ADDRESS'] || '127.0.0.1:7400', 'LOGBOOM_ADDRESS, or 127.0.0.1:7400');
  const wanted = io.env['LOGBOOM_OUTPUT'];
  const output = new Option('--output <format>', 'how to print; also LOGBOOM_OUTPUT')
    .choices(formats)
    .default(formats.find((format) => format === wanted) ?? 'text');
  const deadline = new Option('--deadline <duration>', 'time for a call to the server')
    .argParser(durationArgument)
    .default(10_000, '10s');
  return withCredentialOptions(command.addOption(address).addOption(output).addOption(deadline), io);
}

function withCredentialOptions(command: Command, { env }: CommandIo): Command {
  const fromVariable = (flags: string, description: string, variable: string): Option => {
    const option = new Option(flags, `${description}; also ${variable}`);
    return env[variable] ? option.default(env[variable], variable) : option;
  };
  const token = env['LOGBOOM_TOKEN'] || undefined;
  if (token !== undefined) command.setOptionValueWithSource('token', token, 'env');
  const tokenFile = '--token-file <file>';
  const aboutTokenFile = 'file that holds the token; or LOGBOOM_TOKEN';
  return command
    .option('--tls', 'encrypt; the server’s certificate is of an authority that Node.js knows')
    .addOption(fromVariable('--tls-ca <file>', 'encrypt; authorities of the server’s certificate', 'LOGBOOM_TLS_CA'))
    .addOption(fromVariable('--tls-cert <file>', 'certificate to show, with --tls-key', 'LOGBOOM_TLS_CERT'))
    .addOption(fromVariable('--tls-key <file>', 'its private key', 'LOGBOOM_TLS_KEY'))
    .option('--tls-server-name <name>', 'name in the server’s certificate, where it is not the host of --address')
    .addOption(
      token === undefined
        ? fromVariable(tokenFile, aboutTokenFile, 'LOGBOOM_TOKEN_FILE')
        : new Option(tokenFile, aboutTokenFile),
    )
    .option('--allow-plaintext-token', 'send the token unencrypted to other machines');
}

/** The same as options of a client. */
function credentialOptions(options: CommonOptions): CredentialOptions {
  const { tls, tlsCa: caFile, tlsCert: certFile, tlsKey: keyFile, tlsServerName: serverName } = options;
  const isTls = tls === true || [caFile, certFile, keyFile, serverName].some((option) => option !== undefined);
  const { token, tokenFile, allowPlaintextToken } = options;
  // A flag wins over a variable.
  const shown = tokenFile === undefined ? { token } : { tokenFile };
  return { ...shown, allowPlaintextToken, tls: isTls && { caFile, certFile, keyFile, serverName } };
}

export function makeContext(io: CommandIo, format: OutputFormat): CommandContext {
  const output = new Output(io.stdout);
  const coloured = (stream: { readonly isTTY?: boolean }): boolean =>
    stream.isTTY === true && !io.env['NO_COLOR'] && io.env['TERM'] !== 'dumb';
  return {
    io,
    output,
    format,
    palette: makePalette(coloured(io.stdout)),
    messagePalette: makePalette(coloured(io.stderr)),
    signal: AbortSignal.any([io.interrupted, output.closed]),
    note: (text) => {
      if (format !== 'json') io.stderr.write(`${text}\n`);
    },
  };
}

/** Runs `action` with a client, which is closed afterwards. */
export async function withClient<Result>(
  options: CommonOptions,
  action: (client: LogboomClient) => Promise<Result>,
  more: ClientOptions = {},
): Promise<Result> {
  // Loaded late: a help text needs no gRPC.
  const { isLogboomError, LogboomClient } = await import('../client/index.js');
  const open = (): LogboomClient => {
    try {
      return new LogboomClient({
        address: options.address,
        deadlineMs: options.deadline,
        ...credentialOptions(options),
        // Somebody is waiting: a server that is not there is told after a moment.
        retry: { attemptsMax: 4 },
        ...more,
      });
    } catch (error) {
      if (isLogboomError(error, 'INVALID_ARGUMENT'))
        throw new UsageError('address' in error.facts ? `--address, LOGBOOM_ADDRESS: ${error.message}` : error.message);
      throw error;
    }
  };
  const client = open();
  try {
    return await action(client);
  } finally {
    await client.close().catch(() => {});
  }
}

/** Prints a value as one line of JSON, with field names in snake case as in the API. */
export function toJsonLine(value: unknown): string {
  return `${JSON.stringify(value, (_, inner: unknown) => snakeKeys(inner))}\n`;
}

function snakeKeys(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  if (verbatim.has(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), inner]),
  );
}

const verbatim = new WeakSet<object>();

/** Marks an object whose keys are data, not field names. */
export function asData<Value extends object>(value: Value): Value {
  verbatim.add(value);
  return value;
}

// Parsers of arguments. commander turns their errors into usage errors that name the option.

export function countArgument(text: string): number {
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw new InvalidArgumentError('it is not a whole number');
  return Number(text);
}

export function positiveArgument(text: string): number {
  const value = countArgument(text);
  if (value === 0) throw new InvalidArgumentError('it must be at least 1');
  return value;
}

export function durationArgument(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs === undefined) throw new InvalidArgumentError('it is not a duration such as 500ms, 10s, 1h30m or 7d');
  return durationMs;
}

/** Milliseconds since the Unix epoch. */
export function timeArgument(text: string): number {
  try {
    return parseTime(text, Date.now());
  } catch (error) {
    throw error instanceof UsageError ? new InvalidArgumentError(error.message) : error;
  }
}

export function sizeArgument(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined) throw new InvalidArgumentError('it is not a size such as 1000000, 64MiB or 1.5GB');
  return bytes;
}
