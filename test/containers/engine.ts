/** The container engine: the one that runs, or one that is started for the test and stopped after it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { finish, pause, run, text } from './commands.js';

const root = path.resolve(import.meta.dirname, '../..');
const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;

export class Engine {
  /** `docker compose`, or the older `docker-compose`. */
  readonly compose: readonly string[];
  readonly #daemon: ChildProcess | undefined;

  private constructor(compose: readonly string[], daemon: ChildProcess | undefined) {
    this.compose = compose;
    this.#daemon = daemon;
  }

  /** Of what is installed; why not, where that is not enough. `directory` takes the log of an engine that is started. */
  static async open(directory: string): Promise<Engine | string> {
    const where = await text([process.execPath, path.join(root, 'scripts/ci-services.mjs'), '--where', 'containers']);
    if (where === '') return 'no container engine is installed (node scripts/ci-services.mjs)';
    const compose = where.split(' ');
    if (await answers()) return new Engine(compose, undefined);
    if (process.getuid?.() !== 0) return 'no container engine runs, and only root could start one';
    const log = path.join(directory, 'dockerd.log');
    const output = openSync(log, 'a');
    // A process group of its own: Ctrl-C is for the test, which stops the engine after its containers.
    const daemon = spawn('dockerd', [], { stdio: ['ignore', output, output], detached: true });
    daemon.on('error', () => {});
    closeSync(output);
    const untilMs = performance.now() + startTimeoutMs;
    while (!(await answers())) {
      if (daemon.exitCode !== null || performance.now() > untilMs) {
        await stopDaemon(daemon);
        const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n') : '';
        return `the container engine does not start here:\n${said}`;
      }
      await pause(200);
    }
    return new Engine(compose, daemon);
  }

  get isOwn(): boolean {
    return this.#daemon !== undefined;
  }

  /** The image that the Dockerfile begins with: the one that is there, a stand-in where a script makes one, or the official one. */
  async provideBaseImage(): Promise<string> {
    const [, image = ''] = /^FROM (\S+)/m.exec(readFileSync(path.join(root, 'Dockerfile'), 'utf8')) ?? [];
    if ((await finish(['docker', 'image', 'inspect', image])).code === 0) return `${image}, which was there`;
    const standIn = path.resolve(root, '../shared/tools/node-base-image.sh');
    if (existsSync(standIn)) return text(['bash', standIn, image], { timeoutMs: 15 * 60_000 });
    await run(['docker', 'pull', image], { timeoutMs: 15 * 60_000 });
    return `${image}, pulled`;
  }

  async stop(): Promise<void> {
    if (this.#daemon !== undefined) await stopDaemon(this.#daemon);
  }
}

const answers = async (): Promise<boolean> => (await finish(['docker', 'info'], { timeoutMs: 10_000 })).code === 0;

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  if (daemon.pid === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
  const exited = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  const timer = setTimeout(() => daemon.kill('SIGKILL'), stopTimeoutMs);
  await exited;
  clearTimeout(timer);
}
