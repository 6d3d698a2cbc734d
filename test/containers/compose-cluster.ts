/** The cluster of the compose file, under a project of its own. */
import path from 'node:path';
import { finish, run, start, text, until } from './commands.js';
import type { CommandOptions, Running } from './commands.js';

export const root = path.resolve(import.meta.dirname, '../..');
export const image = 'logboom:test';

export type NodeName = 'n1' | 'n2' | 'n3';
export const nodeNames: readonly NodeName[] = ['n1', 'n2', 'n3'];

interface ContainerState {
  readonly Status: string;
  readonly ExitCode: number;
  readonly Health?: { readonly Status: string; readonly Log: readonly { readonly Output: string }[] | null };
}

export class ComposeCluster {
  /** On loopback of the host. */
  readonly ports: readonly [number, number, number];
  readonly #compose: readonly string[];
  readonly #options: CommandOptions;
  readonly #ids = new Map<NodeName, string>();

  constructor(
    compose: readonly string[],
    project: string,
    ports: readonly [number, number, number],
    files: readonly string[] = ['docker-compose.yml'],
    variables: NodeJS.ProcessEnv = {},
  ) {
    this.ports = ports;
    this.#compose = [...compose, ...files.flatMap((file) => ['-f', path.join(root, file)]), '-p', project];
    const [n1, n2, n3] = ports.map(String);
    const env = { ...process.env, IMAGE: image, N1_PORT: n1, N2_PORT: n2, N3_PORT: n3, ...variables };
    this.#options = { cwd: root, env };
  }

  async up(): Promise<void> {
    await this.command('up', '--detach');
    for (const node of nodeNames) this.#ids.set(node, await this.#composed('ps', '-q', node));
    for (const node of nodeNames) await this.health(node, 'healthy');
  }

  /** `docker compose ARGS...`, which must succeed. */
  async command(...args: string[]): Promise<void> {
    await run([...this.#compose, ...args], { ...this.#options, timeoutMs: 180_000 });
  }

  /** A node with an empty volume in the place of the one it had; it is not healthy before it is let in. */
  async replaceVolume(node: NodeName): Promise<void> {
    const volume = await text([
      ...['docker', 'inspect', '--format'],
      '{{range .Mounts}}{{if eq .Destination "/var/lib/logboom"}}{{.Name}}{{end}}{{end}}',
      this.id(node),
    ]);
    await this.command('kill', node);
    await this.command('rm', '--force', node);
    await run(['docker', 'volume', 'rm', volume]);
    await this.command('up', '--detach', '--no-deps', node);
    this.#ids.set(node, await this.#composed('ps', '-q', node));
  }

  id(node: NodeName): string {
    const id = this.#ids.get(node);
    if (id === undefined) throw new Error(`${node} was never started`);
    return id;
  }

  async state(node: NodeName): Promise<ContainerState> {
    const inspected = await text(['docker', 'inspect', '--format', '{{json .State}}', this.id(node)]);
    return JSON.parse(inspected) as ContainerState;
  }

  /** Resolves when Docker shows the node so, with what the last check printed. */
  async health(node: NodeName, wanted: string): Promise<string> {
    const found = await until(
      `${node} to be ${wanted}`,
      async () => (await this.state(node)).Health,
      (health) => health?.Status === wanted,
      120_000,
    );
    return found?.Log?.at(-1)?.Output.trim() ?? '';
  }

  /** The log lines of a node since its last start. */
  async logOf(node: NodeName): Promise<readonly Record<string, unknown>[]> {
    const started = await text(['docker', 'inspect', '--format', '{{.State.StartedAt}}', this.id(node)]);
    const { stdout, stderr } = await finish(['docker', 'logs', '--since', started, this.id(node)]);
    const lines = `${stdout.toString()}${stderr}`.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async network(node: NodeName): Promise<string> {
    return text([
      'docker',
      'inspect',
      '--format',
      '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}',
      this.id(node),
    ]);
  }

  /** Standard output of `logboom ARGS...` in a container of its own. */
  client(args: readonly string[], options: { readonly flags?: readonly string[] } = {}): Promise<Buffer> {
    return run(this.#client(args, options.flags), { ...this.#options, timeoutMs: 180_000 });
  }

  /** The same, where it may fail. */
  tryClient(args: readonly string[], flags: readonly string[] = []): ReturnType<typeof finish> {
    return finish(this.#client(args, flags), this.#options);
  }

  startClient(args: readonly string[]): Running {
    return start(this.#client(args), this.#options);
  }

  /** Nothing of it is left, its volumes neither. */
  async remove(): Promise<void> {
    await run([...this.#compose, 'down', '--volumes', '--remove-orphans', '--timeout', '5'], {
      ...this.#options,
      timeoutMs: 600_000,
    });
  }

  #client(args: readonly string[], flags: readonly string[] = []): readonly string[] {
    return [...this.#compose, 'run', '--rm', '-T', ...flags, 'client', ...args];
  }

  #composed(...args: string[]): Promise<string> {
    return text([...this.#compose, ...args], this.#options);
  }
}
