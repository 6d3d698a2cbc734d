/** Commands of the host, with what they print. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: Uint8Array;
  readonly timeoutMs?: number;
}

export interface Running {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly finished: Promise<Finished>;
}

/** Lines of standard error that are shown of a command that failed. */
const linesShownMax = 30;

export function start(command: readonly string[], options: CommandOptions = {}): Running {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
  });
  const output: Buffer[] = [];
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  // A command that ends before it has read everything says so by its exit code.
  child.stdin.on('error', () => {});
  const finished = new Promise<Finished>((resolve) => {
    const finish = (code: number | null): void => resolve({ code, stdout: Buffer.concat(output), stderr: errors });
    child.on('close', finish);
    child.on('error', (error) => {
      errors += error.message;
      finish(null);
    });
  });
  return { child, finished };
}

export async function finish(command: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  const { child, finished } = start(command, { timeoutMs: 120_000, ...options });
  child.stdin.end(options.input);
  return finished;
}

/** Standard output of a command that must succeed. */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<Buffer> {
  const { code, stdout, stderr } = await finish(command, options);
  if (code === 0) return stdout;
  const said = `${stdout.toString()}${stderr}`.trim().split('\n').slice(-linesShownMax).join('\n');
  throw new Error(`${command.join(' ')} ended with ${code}:\n${said}`);
}

export const text = async (command: readonly string[], options: CommandOptions = {}): Promise<string> =>
  (await run(command, options)).toString().trim();

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer is there; `what` with the last answer is the error when it does not come. */
export async function until<Answer>(
  what: string,
  ask: () => Promise<Answer>,
  isThere: (answer: Answer) => boolean,
  timeoutMs = 60_000,
): Promise<Answer> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (isThere(answer)) return answer;
    if (performance.now() > untilMs) {
      throw new Error(`waited ${timeoutMs} ms for ${what}; the last answer is ${JSON.stringify(answer)}`);
    }
    await pause(250);
  }
}
