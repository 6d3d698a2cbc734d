/** gRPC over TLS: who is talked to, who is let in, and files that a node refuses to start with. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ClientError, LogboomClient } from '../../../src/client/index.js';
import type { ClientOptions } from '../../../src/client/index.js';
import { isLogboomError } from '../../../src/base/errors.js';
import { TestAuthority } from '../support/certificates.js';
import type { IssuedCertificate } from '../support/certificates.js';
import { authorizationOf, RawClient, tokensFileOf } from '../support/secured-node.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { startTestNode } from '../support/test-node.js';
import type { TestNode } from '../support/test-node.js';

const dayMs = 24 * 3600 * 1000;
const authority = new TestAuthority('ours');
const stranger = new TestAuthority('theirs');

class Files {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async make(): Promise<Files> {
    return new Files(await temporaryDirectory());
  }

  write(name: string, content: string): string {
    const file = path.join(this.#directory, name);
    writeFileSync(file, content);
    return file;
  }

  /** Certificate and key of a server, as flags. */
  server({ certificate, key }: IssuedCertificate): string[] {
    return [
      `--tls-certificate-file=${this.write('server.pem', certificate)}`,
      `--tls-key-file=${this.write('server.key', key)}`,
    ];
  }
}

function clientOf(node: TestNode, options: ClientOptions): LogboomClient {
  const { grpc } = node.node.addresses;
  const client = new LogboomClient({ address: grpc, retry: { attemptsMax: 2 }, ...options });
  // An appender that failed says so once more.
  onTestFinished(() => client.close().catch(() => {}));
  return client;
}

/** `OK`, or the code or reason and the message of what went wrong. */
async function outcomeOf(node: TestNode, options: ClientOptions): Promise<string> {
  try {
    await clientOf(node, options).cluster.describe({ deadlineMs: 3000 });
    return 'OK';
  } catch (error) {
    if (error instanceof ClientError) return `${error.code}: ${error.message}`;
    if (isLogboomError(error)) return `${error.reason}: ${error.message}`;
    throw error;
  }
}

const loopback = { hosts: ['127.0.0.1', 'localhost'] };

test('a client talks to a server whose certificate is of its authority and for its address, and to no other one', async () => {
  const files = await Files.make();
  const node = await startTestNode({ flags: files.server(authority.issue('server', loopback)) });
  const caFile = files.write('ca.pem', authority.certificate);
  expect(await outcomeOf(node, { tls: { caFile } })).toBe('OK');
  const strange = files.write('strange.pem', stranger.certificate);
  expect(await outcomeOf(node, { tls: { caFile: strange } })).toMatch(/^UNREACHABLE: .*certificate/);
  expect(await outcomeOf(node, { tls: true })).toMatch(/^UNREACHABLE: .*certificate/);
  expect(await outcomeOf(node, {})).toMatch(/^(UNREACHABLE|CONNECTION_LOST)/);
  expect(await outcomeOf(node, { tls: { caFile, serverName: 'elsewhere.test' } })).toMatch(
    /^UNREACHABLE: .*elsewhere\.test/,
  );

  const named = await startTestNode({ flags: files.server(authority.issue('server', { hosts: ['logs.test'] })) });
  expect(await outcomeOf(named, { tls: { caFile } })).toMatch(/^UNREACHABLE: .*IP/);
  expect(await outcomeOf(named, { tls: { caFile, serverName: 'logs.test' } })).toBe('OK');
  // All of the client, over TLS.
  const client = clientOf(named, { tls: { caFile, serverName: 'logs.test' } });
  await client.streams.create('s');
  const appender = await client.appender('s');
  await Promise.all(['a', 'b', 'c'].map((value) => appender.append(value)));
  await appender.close();
  const tail: string[] = [];
  for await (const { text } of client.tail('s', { fromSeq: 0 })) if (tail.push(text) === 3) break;
  expect(tail).toEqual(['a', 'b', 'c']);
});

test('with mutual TLS a client without a certificate of the authority of clients is refused', async () => {
  const files = await Files.make();
  const clients = new TestAuthority('clients');
  const clientCa = files.write('clients.pem', clients.certificate);
  const flags = [...files.server(authority.issue('server', loopback)), `--tls-client-ca-file=${clientCa}`];
  const node = await startTestNode({ flags });
  const caFile = files.write('ca.pem', authority.certificate);
  const shown = (name: string, { certificate, key }: IssuedCertificate): ClientOptions => ({
    tls: { caFile, certFile: files.write(`${name}.pem`, certificate), keyFile: files.write(`${name}.key`, key) },
  });
  expect(await outcomeOf(node, shown('known', clients.issue('known')))).toBe('OK');
  expect(await outcomeOf(node, { tls: { caFile } })).toMatch(/^(UNREACHABLE|CONNECTION_LOST)/);
  expect(await outcomeOf(node, shown('strange', stranger.issue('known')))).toMatch(/^(UNREACHABLE|CONNECTION_LOST)/);
  const past = { validTo: new Date(Date.now() - 1000), validFrom: new Date(Date.now() - dayMs) };
  expect(await outcomeOf(node, shown('past', clients.issue('past', past)))).toMatch(/^(UNREACHABLE|CONNECTION_LOST)/);
});

test('a renewed certificate is in force without a restart, and one that does not fit to its key is not', async () => {
  const files = await Files.make();
  const node = await startTestNode({ flags: files.server(authority.issue('first', { hosts: ['first.test'] })) });
  const caFile = files.write('ca.pem', authority.certificate);
  const reach = async (serverName: string): Promise<boolean> =>
    (await outcomeOf(node, { tls: { caFile, serverName } })) === 'OK';
  expect(await reach('first.test')).toBe(true);
  const open = clientOf(node, { tls: { caFile, serverName: 'first.test' } });
  await open.streams.create('s');
  const renewed = authority.issue('second', { hosts: ['second.test'] });
  files.write('server.pem', renewed.certificate);
  const refused = async (): Promise<boolean> =>
    /reloads_total\{[^}]*outcome="refused"[^}]*\} 1/.test(await node.metrics());
  await until(refused);
  expect(await reach('first.test')).toBe(true);
  files.write('server.key', renewed.key);
  await until(() => reach('second.test'));
  expect(await reach('first.test')).toBe(false);
  // Connections that are open stay.
  expect((await open.streams.get('s')).nextSeq).toBe(0);
});

async function until(condition: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('tokens over TLS: the client sends the one of its file, and goes on when it is replaced', async () => {
  const files = await Files.make();
  const grants = [{ streams: '*', rights: ['append', 'read', 'admin'] as const }];
  const [old, fresh] = [
    { token: 'old', grants },
    { token: 'fresh', grants },
  ];
  const tokensFile = files.write('tokens.json', tokensFileOf({ old }));
  const flags = [...files.server(authority.issue('server', loopback)), `--security-tokens-file=${tokensFile}`];
  const node = await startTestNode({ flags });
  const tls = { caFile: files.write('ca.pem', authority.certificate) };
  expect(await outcomeOf(node, { tls })).toMatch(/^TOKEN_MISSING/);
  expect(await outcomeOf(node, { tls, token: 'guess' })).toMatch(/^TOKEN_INVALID/);

  const tokenFile = files.write('token', 'old\n');
  const client = clientOf(node, { tls, tokenFile });
  await client.streams.create('s');
  const appender = await client.appender('s');
  await appender.append('before');
  const seen: string[] = [];
  const following = (async () => {
    for await (const { text } of client.tail('s', { fromSeq: 0 })) if (seen.push(text) === 2) return;
  })();
  await until(async () => seen.length === 1);
  // As it is to be done: the new one beside the old, then the client's file, then the old one goes.
  files.write('tokens.json', tokensFileOf({ old, fresh }));
  files.write('token', 'fresh\n');
  files.write('tokens.json', tokensFileOf({ fresh }));
  await until(async () => (await outcomeOf(node, { tls, token: 'old' })).startsWith('TOKEN_INVALID'));
  await appender.append('after');
  await following;
  expect(seen).toEqual(['before', 'after']);
  // Without another one in its place, a withdrawn token ends what uses it.
  files.write('tokens.json', tokensFileOf({ old }));
  await until(async () => (await outcomeOf(node, { tls, token: 'old' })).startsWith('PERMISSION_DENIED'));
  await expect(appender.append('never')).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
});

describe('a node refuses to start with', () => {
  const past = { ...loopback, validFrom: new Date('2020-01-01'), validTo: new Date('2021-01-01') };
  const future = { ...loopback, validFrom: new Date(Date.now() + dayMs) };
  const good = authority.issue('server', loopback);
  const encrypted = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
  }).privateKey;

  test.each<[string, IssuedCertificate, string[]]>([
    ['an expired certificate', authority.issue('server', past), ['tls.certificateFile', 'has expired', '2021-01-01']],
    ['one that is not valid yet', authority.issue('server', future), ['tls.certificateFile', 'is not valid yet']],
    ['a key of another certificate', { ...good, key: authority.issue('b').key }, ['tls.keyFile', 'is not the key of']],
    ['no certificate', { ...good, certificate: 'hello' }, ['tls.certificateFile', 'holds no certificate in PEM form']],
    [
      'a damaged certificate',
      { ...good, certificate: good.certificate.replace(/\n.{30}/, '\n') },
      ['tls.certificateFile', 'holds a damaged certificate'],
    ],
    ['no key', { ...good, key: good.certificate }, ['tls.keyFile', 'holds no private key']],
    ['an encrypted key', { ...good, key: encrypted }, ['tls.keyFile', 'is encrypted with a passphrase']],
  ])('%s', async (_, issued, parts) => {
    const files = await Files.make();
    await refusesToStart(files.server(issued), parts);
  });

  test('files that are not there, or hold nothing', async () => {
    const files = await Files.make();
    const server = files.server(good);
    await refusesToStart(
      ['--tls-certificate-file=/nowhere/a.pem', server[1]!],
      ['tls.certificateFile: /nowhere/a.pem cannot be read: there is no such file'],
    );
    await refusesToStart(
      [...server, `--tls-client-ca-file=${files.write('ca.pem', '')}`],
      ['tls.clientCaFile', 'holds no certificate'],
    );
    const old = new TestAuthority('old', past).certificate;
    await refusesToStart(
      [...server, `--tls-client-ca-file=${files.write('ca.pem', old)}`],
      ['tls.clientCaFile', 'has expired'],
    );
    await refusesToStart(
      ['--security-tokens-file=/nowhere/tokens.yaml'],
      ['security.tokensFile: /nowhere/tokens.yaml cannot be read'],
    );
    await refusesToStart([`--security-tokens-file=${files.write('tokens', 'a: 1')}`], ['the tokens file', 'field "a"']);
  });

  async function refusesToStart(flags: readonly string[], parts: readonly string[]): Promise<void> {
    const failure = await startTestNode({ flags }).then(
      () => new Error('it started'),
      (error: Error) => error,
    );
    expect(isLogboomError(failure, 'CONFIGURATION_INVALID'), failure.message).toBe(true);
    for (const part of parts) expect(failure.message).toContain(part);
  }
});

test('a plain client gets no answer of a server with TLS, whatever it sends', async () => {
  const files = await Files.make();
  const node = await startTestNode({ flags: files.server(authority.issue('server', loopback)) });
  const plain = new RawClient(node.node.addresses.grpc, credentials.createInsecure());
  const call = plain.open('DescribeCluster', {}, authorizationOf('token'));
  expect((await call.ended)?.code).toBe(14);
  expect(call.messages).toEqual([]);
});
