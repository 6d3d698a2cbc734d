import type { ComposeCluster } from './compose-cluster.js';
import type { Running } from './commands.js';

const linesPerTurn = 20;
const turnMs = 50;

/** A container that appends one line after the other to a stream, for as long as it is told to. */
export class Load {
  readonly #running: Running;
  readonly #timer: NodeJS.Timeout;
  readonly #lines: string[] = [];

  constructor(cluster: ComposeCluster, stream: string) {
    this.#running = cluster.startClient(['append', stream, '-', '--producer', 'load', '--output', 'json']);
    this.#timer = setInterval(() => this.#write(), turnMs);
  }

  /** What has been given to it. */
  get lineCount(): number {
    return this.#lines.length;
  }

  /** Ends the input, and waits until all of it is acknowledged; answers what it was. */
  async end(): Promise<Buffer> {
    clearInterval(this.#timer);
    this.#running.child.stdin.end();
    const { code, stdout, stderr } = await this.#running.finished;
    if (code !== 0) throw new Error(`the append under load ended with ${code}: ${stderr}`);
    const { records } = JSON.parse(stdout.toString()) as { records: number };
    if (records !== this.lineCount) throw new Error(`${records} of ${this.lineCount} lines were acknowledged`);
    return Buffer.from(this.#lines.join(''));
  }

  abandon(): void {
    clearInterval(this.#timer);
    this.#running.child.kill('SIGTERM');
  }

  #write(): void {
    // What it does not take while no node answers is not given to it.
    if (this.#running.child.stdin.writableNeedDrain) return;
    const from = this.lineCount;
    for (let line = from; line < from + linesPerTurn; line++)
      this.#lines.push(`line ${line} ${'x'.repeat(line % 83)}\n`);
    this.#running.child.stdin.write(this.#lines.slice(from).join(''));
  }
}
