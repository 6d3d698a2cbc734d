import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { noLogger } from '../../src/base/ports/logger.js';
import { LogboomClient } from '../../src/client/index.js';
import { loadConfiguration, startNode } from '../../src/server/index.js';
import type { RunningNode } from '../../src/server/index.js';
import { exitOf, runHere, startProcess } from './command-runner.js';
import type { CommandOptions, CommandResult } from './command-runner.js';

let node: RunningNode;
let directory: string;
let client: LogboomClient;

async function start(port: number): Promise<void> {
  const flags = [
    `--data-dir=${path.join(directory, 'data')}`,
    `--port=${port}`,
    '--http-port=0',
    '--disk-low-water-mark-bytes=0',
  ];
  node = await startNode(loadConfiguration({ flags }).configuration, { logger: noLogger });
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'logboom-cli-'));
  await start(0);
  client = new LogboomClient({ address: node.addresses.grpc });
});
afterAll(async () => {
  await client.close();
  await node.stop();
  await rm(directory, { recursive: true, force: true });
});

const run = (args: string[], options: CommandOptions = {}): Promise<CommandResult> =>
  runHere(args, { ...options, env: { LOGBOOM_ADDRESS: node.addresses.grpc, ...options.env } });
const file = async (name: string, content: string | Buffer): Promise<string> => {
  const filePath = path.join(directory, name);
  await writeFile(filePath, content);
  return filePath;
};
const raw = async (stream: string, ...args: string[]): Promise<Buffer> =>
  (await run(['read', stream, '--output', 'raw', ...args])).stdout;
const lines = (count: number, word = 'line'): string =>
  Array.from({ length: count }, (_, index) => `${word} ${index}\n`).join('');

describe('append and read', () => {
  test('lines keep their bytes', async () => {
    const content = Buffer.concat([
      Buffer.from('a\r\n\nb\rc\n\x00\x1b[31m\n'),
      Buffer.from([0xff, 0xfe, 10]),
      Buffer.from('last'),
    ]);
    const { code, text } = await run(['append', 'bytes', await file('bytes.log', content)]);
    expect(code).toBe(0);
    expect(text).toMatch(/^appended 6 records, 17 B in .* seq 0 to 5\n$/);
    expect(await raw('bytes')).toEqual(Buffer.concat([content, Buffer.from('\n')]));
  });

  test('several files and standard input, in order, with a summary in JSON', async () => {
    const first = await file('first.log', 'one\ntwo');
    const result = await run(['append', 'several', first, '-', first, '--output', 'json'], { stdin: 'from stdin\n' });
    expect(JSON.parse(result.text)).toMatchObject({
      stream: 'several',
      records: 5,
      bytes: 22,
      first_seq: 0,
      last_seq: 4,
    });
    expect((await raw('several')).toString()).toBe('one\ntwo\nfrom stdin\none\ntwo\n');
  });

  test('the same command again with a producer appends nothing twice, and goes on with what is new', async () => {
    const log = await file('grow.log', lines(5000));
    const append = ['append', 'once', log, '--producer', 'p1', '--output', 'json'];
    expect(JSON.parse((await run(append)).text)).toMatchObject({ records: 5000, skipped: 0 });
    expect(JSON.parse((await run(append)).text)).toMatchObject({ records: 0, skipped: 5000 });
    await appendFile(log, 'new\n');
    expect(JSON.parse((await run(append)).text)).toMatchObject({ records: 1, skipped: 5000, first_seq: 5000 });
    expect((await raw('once')).toString()).toBe(`${lines(5000)}new\n`);
  });

  test('a producer with other content is refused, not skipped over', async () => {
    await run(['append', 'mixed', await file('a.log', lines(100)), '--producer', 'p']);
    const changed = await run(['append', 'mixed', await file('b.log', lines(200, 'other')), '--producer', 'p']);
    expect(changed.code).toBe(1);
    expect(changed.errors).toMatch(/line 100 of .*b\.log differs .*PRODUCER_MISMATCH/);
    const shorter = await run(['append', 'mixed', await file('c.log', lines(20)), '--producer', 'p']);
    expect(shorter.code).toBe(1);
    expect(shorter.errors).toMatch(/has appended 100 lines, and the input has only 20/);
    expect((await raw('mixed')).toString()).toBe(lines(100));
  });

  test('a line over the limit: everything before it is appended, and the error names it', async () => {
    const log = await file('long.log', `${lines(3)}${'x'.repeat(1_048_600)}\nafter\n`);
    const result = await run(['append', 'long', log]);
    expect(result.code).toBe(1);
    expect(result.errors).toMatch(/line 4 of .*long\.log has 1048600 bytes, the limit is 1048570; .*LINE_TOO_LONG/);
    expect(result.text).toMatch(/^appended 3 records/);
    expect((await raw('long')).toString()).toBe(lines(3));
    await run(['append', 'long', await file('most.log', 'y'.repeat(1_048_570))]);
    expect((await raw('long', '--last', '1')).length).toBe(1_048_571);
  });

  test('read: places to begin, directions, pages', async () => {
    await run(['append', 'places', await file('places.log', lines(2500))]);
    expect((await raw('places')).toString()).toBe(lines(2500));
    expect((await raw('places', '--from', '2498')).toString()).toBe('line 2498\nline 2499\n');
    expect((await raw('places', '--last', '2')).toString()).toBe('line 2498\nline 2499\n');
    expect((await raw('places', '--reverse', '--limit', '2')).toString()).toBe('line 2499\nline 2498\n');
    expect((await raw('places', '--since', '1h')).toString()).toBe(lines(2500));
    const backward = (await raw('places', '--reverse')).toString().split('\n').slice(0, -1);
    expect(`${backward.reverse().join('\n')}\n`).toBe(lines(2500));
    const collected: string[] = [];
    let token: string | undefined;
    for (;;) {
      const result = await run([
        'read',
        'places',
        '--limit',
        '999',
        '--output',
        'json',
        ...(token ? ['--page-token', token] : []),
      ]);
      const rows = result.text
        .split('\n')
        .slice(0, -1)
        .map((row) => JSON.parse(row) as Record<string, string>);
      const last = rows.pop()!;
      collected.push(...rows.map((row) => `${row['value']}\n`));
      token = last['next_page_token'];
      if (last['end'] === 'stream') break;
    }
    expect(collected.join('')).toBe(lines(2500));
  });

  test('read: text and JSON say what is there', async () => {
    await client.streams.create('shown');
    const value = Buffer.from([0xff, 0x00]);
    await client.append('shown', [
      { value: 'tab\tesc\u001b[31m', attributes: { hostName: 'h' }, timestampNanos: 5n },
      value,
    ]);
    const onTerminal = await run(['read', 'shown', '--limit', '1'], { terminal: true, env: { NO_COLOR: '1' } });
    expect(onTerminal.text).toMatch(/^0 \d{4}-\d\d-\d\dT[\d:.]+Z tab\tesc\\x1b\[31m\n$/);
    expect(onTerminal.errors).toMatch(/^more with --page-token \S+\n$/);
    const toEnd = await run(['read', 'shown', '--from', '1']);
    expect(toEnd.errors).toMatch(/^end of the stream, next seq 2; what comes later: --page-token \S+\n$/);
    expect((await run(['read', 'shown', '--reverse'])).errors).toBe('that was the oldest\n');
    const coloured = await run(['read', 'shown', '--limit', '1'], { terminal: true });
    expect(coloured.text).toContain('\u001b[2m0 ');
    const json = (await run(['read', 'shown', '--output', 'json'])).text
      .split('\n')
      .map((row) => row && (JSON.parse(row) as object));
    expect(json[0]).toMatchObject({
      seq: 0,
      value: 'tab\tesc\u001b[31m',
      attributes: { hostName: 'h' },
      timestamp_unix_nanos: '5',
    });
    expect(json[1]).toMatchObject({ seq: 1, value_base64: value.toString('base64') });
  });

  test('real logs go in and come out unchanged', async () => {
    const found = path.resolve(import.meta.dirname, '../../../shared/data/loghub');
    if (!existsSync(found)) return;
    for (const name of readdirSync(found).filter((entry) => entry.endsWith('.log'))) {
      const content = await readFile(path.join(found, name));
      const { code, errors } = await run(['append', `loghub/${name}`, path.join(found, name)]);
      expect([code, errors]).toEqual([0, '']);
      const read = await raw(`loghub/${name}`);
      expect(read.equals(content.at(-1) === 10 ? content : Buffer.concat([content, Buffer.from('\n')])), name).toBe(
        true,
      );
    }
  });
});

describe('following', () => {
  test('tail begins with the newest and shows what comes, until it is interrupted', async () => {
    await run(['append', 'tailed', await file('tailed.log', lines(30))]);
    const controller = new AbortController();
    let seen = '';
    const tail = run(['tail', 'tailed', '-n', '3', '--output', 'raw'], {
      signal: controller.signal,
      onOutput: (text) => (seen += text),
    });
    await vi.waitFor(() => expect(seen).toBe('line 27\nline 28\nline 29\n'), 10_000);
    await run(['append', 'tailed', '-'], { stdin: 'news\n' });
    await vi.waitFor(() => expect(seen).toMatch(/news\n$/), 10_000);
    controller.abort(new Error('SIGINT'));
    expect((await tail).code).toBe(0);
  });

  test('append --follow reads on, through rotation and cutting, and leaves an incomplete line for the next run', async () => {
    const log = await file('app.log', 'a\nb\n');
    const controller = new AbortController();
    const following = run(['append', 'followed', log, '--follow'], { signal: controller.signal });
    const stored = async (): Promise<string> => (await raw('followed')).toString();
    await vi.waitFor(async () => expect(await stored()).toBe('a\nb\n'), 10_000);
    await appendFile(log, 'c\nhalf');
    await vi.waitFor(async () => expect(await stored()).toBe('a\nb\nc\n'), 10_000);
    await rename(log, `${log}.1`);
    await writeFile(log, 'd\n');
    await vi.waitFor(async () => expect(await stored()).toBe('a\nb\nc\nhalf\nd\n'), 10_000);
    await truncate(log, 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await appendFile(log, 'e\nincomplete');
    await vi.waitFor(async () => expect(await stored()).toBe('a\nb\nc\nhalf\nd\ne\n'), 10_000);
    controller.abort(new Error('SIGTERM'));
    const result = await following;
    expect(result.code).toBe(0);
    expect(result.text).toMatch(/^appended 6 records/);
    expect(result.errors).toMatch(/was replaced[^]*was cut[^]*10 B without an LF/);
    expect(await stored()).toBe('a\nb\nc\nhalf\nd\ne\n');
  });

  test('append of standard input takes lines as they come', async () => {
    const stdin = new PassThrough();
    const appending = run(['append', 'piped', '-'], { stdin });
    stdin.write('first\nsec');
    await vi.waitFor(async () => expect((await raw('piped')).toString()).toBe('first\n'), 10_000);
    stdin.end('ond');
    expect((await appending).code).toBe(0);
    expect((await raw('piped')).toString()).toBe('first\nsecond\n');
  });
});

describe('a server that goes away', () => {
  test('append and tail go on when it is back, without gap or repeat', async () => {
    await client.streams.create('restarted');
    const port = Number(node.addresses.grpc.split(':').at(-1));
    const controller = new AbortController();
    let tailed = '';
    const tail = run(['tail', 'restarted', '-n', '0', '--output', 'raw'], {
      signal: controller.signal,
      onOutput: (text) => (tailed += text),
    });
    const stdin = new PassThrough();
    const appending = run(['append', 'restarted', '-'], { stdin });
    let written = '';
    for (let round = 0; round < 4; round += 1) {
      for (let index = 0; index < 500; index += 1) {
        const line = `${round} ${index}\n`;
        written += line;
        if (!stdin.write(line)) await once(stdin, 'drain');
      }
      // Both are under way; later rounds may be cut off anywhere.
      if (round === 0) await vi.waitFor(() => expect(tailed).toBe(written), 10_000);
      if (round === 3) break;
      await node.stop();
      await start(port);
    }
    stdin.end();
    // It tells when the server is away for longer than a moment.
    const { code, errors: notices } = await appending;
    expect([code, notices]).toEqual([0, expect.stringMatching(/^([^\n]+; trying again for a minute\nresumed\n)*$/)]);
    expect((await raw('restarted')).toString()).toBe(written);
    await vi.waitFor(() => expect(tailed).toBe(written), 10_000);
    controller.abort(new Error('SIGINT'));
    const { errors } = await tail;
    expect(errors).toMatch(/resuming\n[^]*resumed\n/);
  });
});

describe('commands', () => {
  test('streams: create, list, describe, update, delete', async () => {
    expect(
      (await run(['stream', 'create', 'web/a', '--retention-age', '7d', '--retention-bytes', '1GiB'])).text,
    ).toMatch(/^made stream web\/a/);
    const again = await run(['stream', 'create', 'web/a']);
    expect([again.code, again.errors]).toEqual([1, expect.stringMatching(/STREAM_ALREADY_EXISTS/)]);
    expect((await run(['stream', 'create', 'web/a', '--if-not-exists'])).code).toBe(0);
    const described = JSON.parse((await run(['stream', 'describe', 'web/a', '--output', 'json'])).text) as object;
    expect(described).toMatchObject({
      name: 'web/a',
      retention_age_ms: 604_800_000,
      retention_bytes: 2 ** 30,
      next_seq: 0,
    });
    expect((await run(['stream', 'update', 'web/a', '--fencing-token', 't', '--retention-age', '0'])).text).toMatch(
      /retention age +for ever\n/,
    );
    expect((await run(['append', 'web/a', '-'], { stdin: 'x' })).errors).toMatch(/FENCING_TOKEN_MISMATCH/);
    expect((await run(['append', 'web/a', '-', '--fencing-token', 't'], { stdin: 'x' })).code).toBe(0);
    expect((await run(['stream', 'list', 'web/'])).text).toMatch(/^NAME .*\nweb\/a /);
    expect((await run(['stream', 'delete', 'web/a'])).text).toBe('deleted stream web/a with 1 record\n');
    expect((await run(['stream', 'list', 'web/'])).errors).toMatch(/no streams yet/);
    expect((await run(['append', 'web/a', '-', '--no-create'], { stdin: 'x' })).errors).toMatch(/STREAM_NOT_FOUND/);
  });

  test('context: around a record, in the stream and among those of its producer', async () => {
    const one = await client.streams.create('ctx').then(() => client.appender('ctx', { producer: { id: 'one' } }));
    const two = await client.appender('ctx', { producer: { id: 'two' } });
    for (let index = 0; index < 6; index += 1) {
      await one.append(`one ${index}`);
      await two.append(`two ${index}`);
    }
    const near = (await run(['context', 'ctx', '4', '-B', '1', '-A', '1'])).text.replace(/ \d{4}-\S+/g, '');
    expect(near).toBe('  3 two 1\n> 4 one 2\n  5 two 2\n');
    const same = await run(['context', 'ctx', '4', '-B', '9', '-A', '1', '--same-producer', '--output', 'raw']);
    expect(same.text).toBe('one 0\none 1\none 2\none 3\n');
    const json = (await run(['context', 'ctx', '4', '-B', '0', '-A', '0', '--output', 'json'])).text.split('\n');
    expect(JSON.parse(json[1]!)).toMatchObject({
      before_count: 0,
      after_count: 0,
      more_before: true,
      more_after: true,
    });
    expect((await run(['context', 'ctx', '400'])).code).toBe(1);
  });

  test('status and partitions', async () => {
    const { text } = await run(['status']);
    expect(text).toMatch(/^node 1 \(node-1\) ok\n/);
    expect(text).toMatch(/PERSISTED +APPLIED +COMMIT +DURABLE/);
    const json = JSON.parse((await run(['status', '--output', 'json'])).text) as {
      partitions: object[];
      nodes: object[];
    };
    expect(json.nodes).toHaveLength(1);
    expect(json.partitions).toHaveLength(8);
    expect((await run(['partition', 'list', '--output', 'json'])).text.split('\n')).toHaveLength(9);
    expect((await run(['partition', 'verify', '--all'])).text.match(/: ok, /g)).toHaveLength(8);
    const missing = await run(['partition', 'verify', '99']);
    expect([missing.code, missing.errors]).toEqual([1, expect.stringMatching(/PARTITION_NOT_FOUND/)]);
  });

  test.each([
    [['reads']],
    [['read']],
    [['read', 's', '--limit', '0']],
    [['read', 's', '--limit', 'x']],
    [['read', 's', '--from', '1', '--last', '2']],
    [['read', 's', '--since', 'yesterday']],
    [['read', 's', '--output', 'xml']],
    [['append', 's', '-', '-']],
    [['append', 's', '-', '--follow']],
    [['context', 's', 'x']],
    [['stream', 'update', 's']],
    [['stream', 'frob']],
    [['partition', 'verify']],
    [['status', '--address', 'no-port']],
    [['append', 's', 'x.log', '--producer', '']],
    [['dev', '--prot', '1']],
    [['server', '--config', '/no/such/file']],
    [['server', '--port', 'x']],
    [[]],
  ])('wrong usage: %j', async (args) => {
    const result = await run(args);
    expect([result.code, result.text]).toEqual([2, '']);
    // What is wrong, and one line with what to do next; or the help text.
    if (args.length > 0) expect(result.errors).toMatch(/^error: [^\n]+\n(See|Start) [^\n]+\n$/);
  });

  test.each([
    [['read', 's', '--limit', '0'], '--limit <n>: "0" is not valid: it must be at least 1'],
    [['read', 's', '--since', 'noon'], '--since <time>: "noon" is not valid: it is not a time: give ISO 8601'],
    [['read', 's', '--output', 'xml'], '--output <format>: "xml" is not valid: it must be one of text, json, raw\n'],
    [['context', 's', 'x'], '<seq>: "x" is not valid: it is not a whole number\nSee `logboom context --help`.\n'],
    [['reed', 's'], 'unknown command reed; did you mean read?\nSee `logboom --help`.\n'],
    [['stream', 'update', 's'], 'See `logboom stream update --help`.\n'],
    [['server', '--config', '/no/file'], '--config, LOGBOOM_CONFIG: there is no such file: /no/file\n'],
  ])('%j is told what is wrong and where the help is', async (args, expected) => {
    expect((await run(args)).errors).toContain(expected);
  });

  test('LOGBOOM_OUTPUT holds for results and for errors, and has to be a format', async () => {
    const env = { LOGBOOM_OUTPUT: 'json' };
    expect(JSON.parse((await run(['status'], { env })).text)).toMatchObject({ answered_by: 1 });
    const wrong = await run(['read', 's', '--limit', '0'], { env });
    expect([wrong.code, JSON.parse(wrong.errors)]).toMatchObject([
      2,
      {
        error: {
          reason: 'USAGE',
          message: '--limit <n>: "0" is not valid: it must be at least 1',
          hint: 'See `logboom read --help`.',
        },
      },
    ]);
    const bogus = await run(['status'], { env: { LOGBOOM_OUTPUT: 'yaml' } });
    expect([bogus.code, bogus.errors]).toEqual([2, expect.stringMatching(/LOGBOOM_OUTPUT: "yaml" is not valid/)]);
  });

  test('an address without a server, and one of HTTP, are told from each other', async () => {
    const nobody = await run(['status', '--address', '127.0.0.1:1']);
    expect(nobody.errors).toMatch(/^error: no server answers: connect ECONNREFUSED 127.0.0.1:1 \(UNREACHABLE\)\nStart/);
    const http = await run(['status', '--address', node.addresses.http.replace('http://', '')]);
    expect([http.code, http.errors]).toEqual([1, expect.stringMatching(/The HTTP port is one higher/)]);
  });

  test('every command has a help text with examples', async () => {
    const groups: Record<string, string[]> = {
      stream: ['create', 'list', 'describe', 'update', 'delete'],
      partition: ['list', 'verify'],
      snapshot: ['create', 'list'],
      trim: ['explain'],
    };
    const commands = ['dev', 'server', 'append', 'read', 'tail', 'context', 'status'].map((name) => [name]);
    for (const [group, names] of Object.entries(groups)) commands.push(...names.map((name) => [group, name]));
    commands.push(['stream'], ['partition'], ['snapshot'], ['trim'], []);
    for (const command of commands) {
      const { code, text } = await run([...command, '--help']);
      expect(code).toBe(0);
      // Fits a terminal of the usual width.
      expect(Math.max(...text.split('\n').map((line) => line.length)), command.join(' ')).toBeLessThanOrEqual(80);
      expect(text, command.join(' ')).toMatch(/Examples:\n {2}(LOGBOOM|logboom|journalctl)/);
    }
    expect((await run(['--version'])).text).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('errors as JSON', async () => {
    const { code, errors } = await run(['read', 'nowhere', '--output', 'json']);
    expect([code, JSON.parse(errors)]).toMatchObject([1, { error: { reason: 'STREAM_NOT_FOUND' } }]);
  });
});

describe('processes', () => {
  // A terminal sends Ctrl-C to the command and to npx, which passes it on.
  test('an interrupt that arrives twice, as under npx, ends a following append in good order', async () => {
    const log = await file('twice.log', lines(10));
    const child = startProcess(['append', 'twice', log, '--follow'], { LOGBOOM_ADDRESS: node.addresses.grpc });
    onTestFinished(() => void child.kill('SIGKILL'));
    const exited = exitOf(child);
    await client.streams.create('twice', { ifNotExists: true });
    await vi.waitFor(async () => expect((await client.streams.get('twice')).nextSeq).toBe(10), 30_000);
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await exited).toEqual({ code: 0, signal: null, errors: '' });
  });

  test(
    'an append with a producer that is killed again and again ends with every line once',
    { timeout: 120_000 },
    async () => {
      const content = lines(400_000);
      const log = await file('killed.log', content);
      const env = { LOGBOOM_ADDRESS: node.addresses.grpc };
      const nextSeq = async (): Promise<number> => (await client.streams.get('killed')).nextSeq;
      await client.streams.create('killed');
      let kills = 0;
      for (;;) {
        const child = startProcess(['append', 'killed', log, '--producer', 'p', '--output', 'json'], env);
        onTestFinished(() => void child.kill('SIGKILL'));
        const exited = exitOf(child);
        const before = await nextSeq();
        let done = false;
        void exited.then(() => (done = true));
        while (!done && kills < 5 && (await nextSeq()) === before)
          await new Promise((resolve) => setTimeout(resolve, 2));
        if (!done && kills < 5) {
          child.kill('SIGKILL');
          kills += 1;
          await exited;
          continue;
        }
        const { code, errors } = await exited;
        expect([code, errors]).toEqual([0, '']);
        break;
      }
      expect((await raw('killed')).equals(Buffer.from(content))).toBe(true);
    },
  );

  // Memory as the kernel counts it, where it tells.
  test.runIf(existsSync('/proc/self/status'))(
    'a large file is appended in bounded memory',
    { timeout: 120_000 },
    async () => {
      const part = Buffer.from(lines(300_000, 'a line of a file that is larger than what a process may hold: '));
      const log = await file('large.log', part);
      for (let copy = 1; copy < 16; copy += 1) await appendFile(log, part);
      const child = startProcess(['append', 'large', log, '--output', 'json'], {
        LOGBOOM_ADDRESS: node.addresses.grpc,
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      const output: Buffer[] = [];
      child.stdout!.on('data', (chunk: Buffer) => output.push(chunk));
      let peakKib = 0;
      const poll = setInterval(() => {
        readFile(`/proc/${child.pid}/status`, 'utf8').then(
          (status) => (peakKib = Math.max(peakKib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0))),
          () => {},
        );
      }, 20);
      const { code, errors } = await exitOf(child);
      clearInterval(poll);
      expect([code, errors]).toEqual([0, '']);
      expect(JSON.parse(Buffer.concat(output).toString())).toMatchObject({
        records: 4_800_000,
        first_seq: 0,
        last_seq: 4_799_999,
      });
      // Less than the file has; tsx and the sources take about 150 MiB of it.
      expect(part.length * 16).toBeGreaterThan(300 * 2 ** 20);
      expect(peakKib).toBeGreaterThan(0);
      expect(peakKib).toBeLessThan(300 * 1024);
    },
  );

  test('a reader that goes away ends the command quietly', async () => {
    await run(['append', 'piped-away', await file('away.log', lines(50_000))]);
    const child = startProcess(['read', 'piped-away'], { LOGBOOM_ADDRESS: node.addresses.grpc });
    const exited = exitOf(child);
    child.stdout!.once('data', () => child.stdout!.destroy());
    expect(await exited).toEqual({ code: 0, signal: null, errors: '' });
  });
});
