/** Runs command lines: in this process with streams in place of the terminal, or as processes of their own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { runCommandLine } from '../../src/cli/program.js';

export interface CommandResult {
  readonly code: number;
  readonly stdout: Buffer;
  readonly text: string;
  readonly errors: string;
}

export interface CommandOptions {
  readonly stdin?: string | Buffer | Readable;
  readonly env?: Record<string, string>;
  readonly signal?: AbortSignal;
  /** As if standard output were a terminal. */
  readonly terminal?: boolean;
  /** As if standard error were one. */
  readonly errorTerminal?: boolean;
  readonly onOutput?: (text: string) => void;
}

export async function runHere(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const chunks: Buffer[] = [];
  const errors: Buffer[] = [];
  const sink = (into: Buffer[], onOutput?: (text: string) => void): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        into.push(Buffer.from(chunk));
        onOutput?.(chunk.toString());
        callback();
      },
    });
  const { stdin } = options;
  const input = stdin instanceof Readable ? stdin : Readable.from(stdin === undefined ? [] : [Buffer.from(stdin)]);
  const code = await runCommandLine(args, {
    stdin: input,
    stdout: Object.assign(sink(chunks, options.onOutput), { isTTY: options.terminal ?? false }),
    stderr: Object.assign(sink(errors), { isTTY: options.errorTerminal ?? false }),
    env: options.env ?? {},
    interrupted: options.signal ?? new AbortController().signal,
  });
  const stdout = Buffer.concat(chunks);
  return { code, stdout, text: stdout.toString(), errors: Buffer.concat(errors).toString() };
}

const root = path.resolve(import.meta.dirname, '../..');

/** The command from its sources. */
export function startProcess(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', path.join(root, 'src/cli/main.ts'), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

export async function exitOf(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null; errors: string }> {
  const errors: Buffer[] = [];
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
  return new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal, errors: Buffer.concat(errors).toString() })),
  );
}
