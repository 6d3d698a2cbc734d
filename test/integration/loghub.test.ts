/** Real log files, through the command: in and out unchanged. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../..');
const logs = path.resolve(root, '../shared/data/loghub');
const files = existsSync(logs) ? readdirSync(logs).filter((name) => name.endsWith('.log')) : [];

if (files.length === 0) {
  console.warn(
    `loghub: NOT TESTED with real log files: there are none in ${logs}. The other tests make up their own lines.`,
  );
}

/** Twice the same, or one killed half-way and run again. */
const settings = { ...restlessSettings, wal: { segmentBytes: '4MiB', cacheBytes: '4MiB' } };

interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function command(host: ServerHost, args: readonly string[]): { finished: Promise<Finished>; kill: () => void } {
  const child = spawn(process.execPath, ['bin/logboom.cjs', ...args, '--address', host.address], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const finished = new Promise<Finished>((resolve) =>
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr })),
  );
  return { finished, kill: () => child.kill('SIGKILL') };
}

async function run(host: ServerHost, ...args: string[]): Promise<Buffer> {
  const { code, stdout, stderr } = await command(host, args).finished;
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout;
}

/** `read --output raw` ends every record with an LF, also the last one. */
const withLastLf = (bytes: Buffer): Buffer =>
  bytes.length === 0 || bytes.at(-1) === 0x0a ? bytes : Buffer.concat([bytes, Buffer.from('\n')]);
const linesOf = (bytes: Buffer): number => withLastLf(bytes).filter((byte) => byte === 0x0a).length;

test.skipIf(files.length === 0)(
  'every loghub file goes in and comes out unchanged, also when it is appended twice',
  async () => {
    const host = await ServerHost.make(settings);
    await host.start();
    let bytes = 0;
    for (const [index, file] of files.entries()) {
      const content = readFileSync(path.join(logs, file));
      const append = [
        'append',
        `hub/${file}`,
        path.join(logs, file),
        '--producer',
        'loghub',
        '--output',
        'json',
        '--codec',
        index % 3 === 0 ? 'none' : 'zstd',
      ];
      const first = JSON.parse(String(await run(host, ...append))) as Record<string, number>;
      const second = JSON.parse(String(await run(host, ...append))) as Record<string, number>;
      expect([file, first['records'], second['records']]).toEqual([file, linesOf(content), 0]);
      const read = await run(host, 'read', `hub/${file}`, '--output', 'raw');
      expect(read.equals(withLastLf(content)), file).toBe(true);
      bytes += content.length;
    }
    expect(files.length).toBeGreaterThan(10);
    console.log(
      `loghub: ${files.length} files, ${bytes} bytes, in and out unchanged; the second append of each appended nothing`,
    );
  },
);

test.skipIf(files.length === 0)(
  'an append killed half-way and run again appends the rest, and nothing twice; also when the server is killed',
  async () => {
    const random = new SeededRandom(testSeed());
    const host = await ServerHost.make(settings);
    await host.start();
    const client = host.client();
    const all = files.map((file) => withLastLf(readFileSync(path.join(logs, file))));
    const content = Buffer.concat(Array.from({ length: 4 }, () => all).flat());
    const file = path.join(temporaryDirectory(), 'large.log');
    writeFileSync(file, content);
    const append = ['append', 'large', file, '--producer', 'half-way', '--codec', 'none', '--output', 'json'];
    const stored = async (): Promise<number> =>
      (await client.streams.get('large').catch(() => undefined))?.nextSeq ?? 0;
    let kills = 0;
    const cuts: number[] = [];
    /** Starts the command, and answers when it has got somewhere: before, it gives up soon on a server that is not there. */
    const appendUnderWay = async (): Promise<ReturnType<typeof command>> => {
      const before = await stored();
      const appending = command(host, append);
      const deadlineMs = Date.now() + 30_000;
      while ((await stored()) === before && Date.now() < deadlineMs)
        await new Promise((resolve) => setTimeout(resolve, 5));
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 100)));
      return appending;
    };
    for (; kills < 3; kills++) {
      const appending = await appendUnderWay();
      appending.kill();
      await appending.finished;
      cuts.push(await stored());
    }
    // The server goes as well, under an append that lives on.
    const surviving = await appendUnderWay();
    await host.process.kill();
    await host.start();
    const survived = await surviving.finished;
    expect(survived.code, survived.stderr).toBe(0);
    const read = await run(host, 'read', 'large', '--output', 'raw');
    expect(read.equals(content)).toBe(true);
    console.log(
      `killed half-way: ${linesOf(content)} lines; the command killed at ${cuts.join(', ')}, then the server; out as it went in, seed ${random.seed}`,
    );
    expect(
      cuts.some((cut) => cut > 0 && cut < linesOf(content)),
      'a kill came half-way',
    ).toBe(true);
  },
);
