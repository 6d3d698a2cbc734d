import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { parseTokensFile } from '../../src/server/security/tokens-file.js';
import { TestAuthority } from '../server/support/certificates.js';
import { startTestNode } from '../server/support/test-node.js';
import { runHere } from './command-runner.js';

let directory: string;
beforeEach(() => {
  const made = mkdtempSync(path.join(tmpdir(), 'logboom-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  directory = made;
});

const file = (name: string, content?: string): string => {
  const at = path.join(directory, name);
  if (content !== undefined) writeFileSync(at, content);
  return at;
};

describe('token create', () => {
  test('prints the token once, and the entry for the file', async () => {
    const made = await runHere([
      'token',
      'create',
      '--name',
      'web',
      '--grant',
      'read,append:web-*,app-1',
      '--cluster',
      'read',
    ]);
    expect(made).toMatchObject({ code: 0 });
    const [token = '', , ...entry] = made.text.split('\n');
    expect(token).toMatch(/^logboom_[\w-]{43}$/);
    const tokens = file('tokens.yaml', `version: 1\ntokens:\n${entry.join('\n')}`);
    expect(parseTokensFile('f', readFileSync(tokens, 'utf8'))).toMatchObject([
      { name: 'web', grants: [{ streams: ['web-*', 'app-1'], rights: ['read', 'append'] }], cluster: ['read'] },
    ]);
    expect(readFileSync(tokens, 'utf8')).not.toContain(token);
    const checked = await runHere(['token', 'check', tokens], { env: { LOGBOOM_TOKEN: token } });
    expect(checked.text).toContain('read, append on web-*, app-1');
    expect(checked.text).toContain('read on the cluster');
    const other = await runHere(['token', 'check', tokens], { env: { LOGBOOM_TOKEN: `${token}x` } });
    expect(other).toMatchObject({ code: 1, errors: expect.stringContaining('TOKEN_INVALID') as string });
  });

  test('adds the entry to a file, and then prints nothing but the token', async () => {
    const tokens = file('tokens.yaml');
    const make = (name: string, ...more: string[]): ReturnType<typeof runHere> =>
      runHere(['token', 'create', '--name', name, '--grant', 'read:*', '--add-to', tokens, ...more]);
    const first = await make('a');
    expect(first.text).toMatch(/^logboom_[\w-]{43}\n$/);
    expect(statSync(tokens).mode & 0o007).toBe(0);
    await make('b', '--expires', '30d');
    const tokenFile = file('b.token', (await make('c', '--expires', '2020-01-01')).text);
    const listed = await runHere(['token', 'list', tokens, '--output', 'json']);
    const entries = listed.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; expires: string | null });
    expect(entries.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(entries[0]?.expires).toBeNull();
    expect(Date.parse(entries[1]?.expires ?? '') - Date.now()).toBeGreaterThan(29 * 24 * 3600 * 1000);
    expect(await runHere(['token', 'check', tokens, '--token-file', tokenFile])).toMatchObject({
      code: 1,
      errors: expect.stringContaining('TOKEN_EXPIRED') as string,
    });
    const before = readFileSync(tokens, 'utf8');
    expect(await make('a')).toMatchObject({
      code: 2,
      text: '',
      errors: expect.stringContaining('tokens[3].name is that of tokens[0]') as string,
    });
    expect(readFileSync(tokens, 'utf8')).toBe(before);
  });

  test.each<[string[], string]>([
    [['--grant', 'read:*'], '--name'],
    [['--name', 'a'], 'could do nothing'],
    [['--name', 'a', '--grant', 'read'], 'RIGHTS:STREAMS'],
    [['--name', 'a', '--grant', 'write:*'], 'is "write"; it must be append or read or admin'],
    [['--name', 'a', '--grant', 'read:web?'], 'may consist of'],
    [['--name', 'a b', '--grant', 'read:*'], 'is not a name'],
    [['--name', 'a', '--cluster', 'root'], 'is "root"; it must be read or admin'],
    [['--name', 'a', '--grant', 'read:*', '--expires', 'soon'], 'a duration such as 90d'],
  ])('%j is refused', async (args, part) => {
    const made = await runHere(['token', 'create', ...args]);
    expect(made.code).toBe(2);
    expect(made.text).toBe('');
    expect(made.errors).toContain(part);
  });
});

test('token list names what is wrong with a file', async () => {
  const damaged = file('tokens.yaml', 'version: 1\ntokens: [{name: a, sha: x}]');
  const listed = await runHere(['token', 'list', damaged]);
  expect(listed).toMatchObject({ code: 2, errors: expect.stringContaining('field "sha" is unknown') as string });
  expect((await runHere(['token', 'list', file('missing')])).errors).toContain('there is no such file');
  const good = file('good.yaml', '');
  await runHere(['token', 'create', '--name', 'a', '--grant', 'read:*', '--add-to', good]);
  expect((await runHere(['token', 'list', good])).text).toMatch(/NAME +EXPIRES +MAY\na +never +read on \*/);
});

test('commands talk to a secured node with --tls-ca and a token of a file or of LOGBOOM_TOKEN', async () => {
  const authority = new TestAuthority();
  const issued = authority.issue('server', { hosts: ['127.0.0.1'] });
  const tokens = file('tokens.yaml');
  const create = async (name: string, grant: string, ...more: string[]): Promise<string> =>
    (await runHere(['token', 'create', '--name', name, '--grant', grant, '--add-to', tokens, ...more])).text.trim();
  const owner = await create('owner', 'read,append,admin:*', '--cluster', 'read');
  const shipper = await create('shipper', 'append,read:web');
  const ca = file('ca.pem', authority.certificate);
  const { node } = await startTestNode({
    flags: [
      `--security-tokens-file=${tokens}`,
      `--tls-certificate-file=${file('server.pem', issued.certificate)}`,
      `--tls-key-file=${file('server.key', issued.key)}`,
    ],
  });
  const run = (args: readonly string[], env: Record<string, string> = {}, stdin = ''): ReturnType<typeof runHere> =>
    runHere([...args, '--address', node.addresses.grpc], { env, stdin });
  const tls = ['--tls-ca', ca];

  const plain = await run(['status']);
  expect(plain.code).toBe(1);
  const untrusted = await run(['status', '--tls'], { LOGBOOM_TOKEN: owner });
  expect(untrusted.errors).toContain('docs/security.md');
  const missing = await run(['status', ...tls]);
  expect(missing.errors).toContain('TOKEN_MISSING');
  expect(missing.errors).toContain('--token-file');
  expect(await run(['status', ...tls], { LOGBOOM_TOKEN: owner })).toMatchObject({ code: 0 });
  expect(await run(['status'], { LOGBOOM_TOKEN: owner, LOGBOOM_TLS_CA: ca })).toMatchObject({ code: 0 });
  const tokenFile = file('shipper.token', `${shipper}\n`);
  // A flag wins over a variable: the shipper may not look at the cluster.
  const denied = await run(['status', ...tls, '--token-file', tokenFile], { LOGBOOM_TOKEN: owner });
  expect(denied.errors).toContain('PERMISSION_DENIED');
  expect(await run(['status', ...tls], { LOGBOOM_TOKEN: owner, LOGBOOM_TOKEN_FILE: tokenFile })).toMatchObject({
    code: 0,
  });
  expect((await run(['status', ...tls], { LOGBOOM_TOKEN_FILE: tokenFile })).errors).toContain('PERMISSION_DENIED');

  // Who may append and not create appends to what is there.
  const append = (stream: string): ReturnType<typeof runHere> =>
    run(['append', stream, ...tls, '--token-file', tokenFile], {}, 'one\ntwo\n');
  expect((await append('web')).errors).toContain('does not have the right admin on stream web');
  expect(await run(['stream', 'create', 'web', ...tls], { LOGBOOM_TOKEN: owner })).toMatchObject({ code: 0 });
  expect((await append('web')).text).toContain('appended 2 records');
  expect((await append('app')).errors).toContain('PERMISSION_DENIED');
  const read = await run(['read', 'web', ...tls, '--output', 'raw', '--token-file', tokenFile]);
  expect(read.text).toBe('one\ntwo\n');
});

test('no option takes a token itself, and none is sent unencrypted to other machines', async () => {
  const refused = await runHere(['status', '--token', 'secret']);
  expect(refused.code).toBe(2);
  const exposed = await runHere(['status', '--address', 'logs.example:7400'], { env: { LOGBOOM_TOKEN: 'secret' } });
  expect(exposed).toMatchObject({
    code: 2,
    errors: expect.stringContaining('not sent to logs.example:7400') as string,
  });
  expect(exposed.errors).not.toContain('secret');
});
