/** The example client in Python, on code that is generated from proto/ for the test; scripts/ci-services.mjs installs its packages. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryDirectory } from './temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../../..');
const example = path.join(root, 'examples/python');

/** The interpreter that has the packages; undefined when they are not installed. */
export const python: string | undefined =
  spawnSync(process.execPath, [path.join(root, 'scripts/ci-services.mjs'), '--where', 'python'], {
    encoding: 'utf8',
  }).stdout.trim() || undefined;

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export class PythonExample {
  readonly #generated = temporaryDirectory();
  readonly #addresses: string;

  /** @throws Error with what the generator said */
  constructor(addresses: readonly string[]) {
    this.#addresses = addresses.join(',');
    const out = [`--python_out=${this.#generated}`, `--grpc_python_out=${this.#generated}`];
    const args = ['-m', 'grpc_tools.protoc', '-I', 'proto', ...out, 'logboom/v1/streams.proto'];
    const { status, stderr } = spawnSync(this.#python, args, { cwd: root, encoding: 'utf8' });
    if (status !== 0) throw new Error(`the code for Python is not generated: ${stderr}`);
  }

  start(args: readonly string[], addresses = this.#addresses): { finished: Promise<Finished>; kill: () => void } {
    // -B: nothing is written into the checkout.
    const child = spawn(this.#python, ['-B', path.join(example, 'logboom_cli.py'), '--address', addresses, ...args], {
      env: { ...process.env, PYTHONPATH: this.#generated },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const finished = once(child, 'close').then(([code]): Finished => ({
      code: code as number | null,
      stdout: Buffer.concat(stdout),
      stderr,
    }));
    return { finished, kill: () => child.kill('SIGKILL') };
  }

  /** Standard output of a command that must succeed. */
  async run(args: readonly string[], addresses?: string): Promise<Buffer> {
    const { code, stdout, stderr } = await this.start(args, addresses).finished;
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  get #python(): string {
    if (python === undefined) throw new Error('the packages of the example are not installed');
    return python;
  }
}
