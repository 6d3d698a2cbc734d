/** What each method requires, on a real server: a method that is not in the tables here fails. */
import { connect } from 'node:http2';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { LogboomError } from '../../../src/base/errors.js';
import { streamNameOf } from '../../../src/server/forwarding/stream-name.js';
import { openGate } from '../../../src/server/security/gate.js';
import { methodRequirements } from '../../../src/server/security/rights.js';
import type { MethodName } from '../../../src/server/security/rights.js';
import { authorizedAppends } from '../../../src/server/services/authorized-appends.js';
import {
  decodeAppendRequest,
  decodeGetContextRequest,
  decodeReadRequest,
  decodeTailRequest,
} from '../../../src/server/wire/requests.js';
import { healthClient, reflectionClient } from '../support/standard-clients.js';
import { authorizationOf, protoMethods, RawClient, reasonOfError, startSecuredNode } from '../support/secured-node.js';
import type { TestToken, TestTokens } from '../support/secured-node.js';
import { batchOf } from '../support/test-node.js';

type Right = 'append' | 'read' | 'admin';

/** By itself, and not derived from the server's table: which single right on a stream, or on the cluster, lets a call in. */
const expected: Readonly<
  Record<MethodName, { readonly stream?: readonly Right[]; readonly cluster?: readonly string[] } | 'any token'>
> = {
  CreateStream: { stream: ['admin'] },
  GetStream: { stream: ['append', 'read', 'admin'] },
  ListStreams: 'any token',
  UpdateStream: { stream: ['admin'] },
  DeleteStream: { stream: ['admin'] },
  GetProducer: { stream: ['append', 'read', 'admin'] },
  Append: { stream: ['append'] },
  AppendSession: { stream: ['append'] },
  Read: { stream: ['read'] },
  Tail: { stream: ['read'] },
  GetContext: { stream: ['read'] },
  // With own_view any token will do; the request below is for all of it.
  DescribeCluster: { cluster: ['read', 'admin'] },
  ListPartitions: { cluster: ['read', 'admin'] },
  VerifyPartition: { cluster: ['admin'] },
  CreateSnapshot: { cluster: ['admin'] },
  ListSnapshots: { cluster: ['read', 'admin'] },
  Trim: { cluster: ['admin'] },
  TransferLeadership: { cluster: ['admin'] },
  DescribeMembership: { cluster: ['read', 'admin'] },
  AddNode: { cluster: ['admin'] },
  DrainNode: { cluster: ['admin'] },
  RemoveNode: { cluster: ['admin'] },
  ReplaceNode: { cluster: ['admin'] },
  MovePartition: { cluster: ['admin'] },
  SetClusterSetting: { cluster: ['admin'] },
};

const requests: Readonly<Record<MethodName, (stream: string) => object>> = {
  CreateStream: (name) => ({ name, ifNotExists: true }),
  GetStream: (name) => ({ name }),
  ListStreams: () => ({}),
  UpdateStream: (name) => ({ name, retentionBytes: 1_000_000 }),
  DeleteStream: (name) => ({ name, expectedEpoch: 1 }),
  GetProducer: (stream) => ({ stream, producerId: 'p' }),
  Append: (stream) => ({ stream, batch: batchOf(['a']) }),
  AppendSession: (stream) => ({ requestId: 1, append: { stream, batch: batchOf(['a']) } }),
  Read: (stream) => ({ stream }),
  Tail: (stream) => ({ stream, fromSeq: 0 }),
  GetContext: (stream) => ({ stream, seq: 0 }),
  DescribeCluster: () => ({}),
  ListPartitions: () => ({}),
  VerifyPartition: () => ({ partition: 1 }),
  CreateSnapshot: () => ({ partition: 1 }),
  ListSnapshots: () => ({ partition: 1 }),
  Trim: () => ({ partition: 1, dryRun: true }),
  TransferLeadership: () => ({ partition: 1, node: 1 }),
  DescribeMembership: () => ({}),
  AddNode: () => ({ node: 4 }),
  DrainNode: () => ({ node: 1 }),
  RemoveNode: () => ({ node: 1 }),
  ReplaceNode: () => ({ node: 1 }),
  MovePartition: () => ({ partition: 1, fromNode: 1, toNode: 2 }),
  SetClusterSetting: () => ({ name: 'moves-max', value: '1' }),
};

const names = [...protoMethods.keys()] as MethodName[];

test('every method of the proto files has a requirement, and no other one has', () => {
  expect(Object.keys(methodRequirements).toSorted()).toEqual(names.toSorted());
  expect(Object.keys(expected).toSorted()).toEqual(names.toSorted());
});

const on = (rights: readonly Right[], streams = 'web-*'): NonNullable<TestToken['grants']> => [{ streams, rights }];
const tokens: TestTokens = {
  owner: { token: 'owner', grants: on(['append', 'read', 'admin'], '*'), cluster: ['read', 'admin'] },
  append: { token: 'append', grants: on(['append']) },
  read: { token: 'read', grants: on(['read']) },
  admin: { token: 'admin', grants: on(['admin']) },
  // Everything, but elsewhere.
  elsewhere: { token: 'elsewhere', grants: on(['append', 'read', 'admin'], 'app-*') },
  'cluster-read': { token: 'cluster-read', cluster: ['read'] },
  'cluster-admin': { token: 'cluster-admin', cluster: ['admin'] },
  nothing: { token: 'nothing' },
  expired: { token: 'expired', grants: on(['append', 'read', 'admin'], '*'), expires: '2020-01-01' },
};

test('each right lets in to what it is for, on its streams, and to nothing else', async () => {
  const node = await startSecuredNode(tokens);
  const client = new RawClient(node.node.addresses.grpc);
  expect(await client.reasonOf('CreateStream', { name: 'web-1' }, 'owner')).toBe('OK');
  expect(await client.reasonOf('Append', requests.Append('web-1'), 'owner')).toBe('OK');

  for (const name of names) {
    const request = requests[name]('web-1');
    const ask = (token: string | undefined): Promise<string> => client.reasonOf(name, request, token);
    expect(await ask(undefined), `${name} without a token`).toBe('TOKEN_MISSING');
    expect(await ask('forged'), `${name} with a forged token`).toBe('TOKEN_INVALID');
    expect(await ask('expired'), `${name} with an expired token`).toBe('TOKEN_EXPIRED');
    const rule = expected[name];
    for (const token of Object.keys(tokens).filter((each) => each !== 'expired')) {
      const isAllowed =
        rule === 'any token' ||
        token === 'owner' ||
        (rule.stream ?? []).includes(token as Right) ||
        (rule.cluster ?? []).some((right) => token === `cluster-${right}`);
      const reason = await ask(token);
      // A deletion of another epoch gets as far as the stream, a snapshot as far as the repository, which is none here, and
      // what needs other nodes as far as the metadata, which knows this one alone.
      const alone = ['NODE_NOT_FOUND', 'REPLICATION_FACTOR_TOO_HIGH', 'QUORUM_WOULD_BE_LOST', 'PLACEMENT_INVALID'];
      const beyond = ['STREAM_EPOCH_MISMATCH', 'REPOSITORY_NOT_CONFIGURED', ...alone];
      const outcome = beyond.includes(reason) ? 'OK' : reason;
      expect(outcome, `${name} with ${token}`).toBe(isAllowed ? 'OK' : 'PERMISSION_DENIED');
    }
  }
  const metrics = await node.metrics();
  for (const reason of ['TOKEN_MISSING', 'TOKEN_INVALID', 'TOKEN_EXPIRED', 'PERMISSION_DENIED'])
    expect(metrics).toMatch(new RegExp(`logboom_security_refused_total{[^}]*reason="${reason}"[^}]*} [1-9]`));
  expect(metrics).toMatch(/logboom_security_tokens(\{[^}]*\})? 9/);
});

test('a refusal names token, right and stream', async () => {
  const node = await startSecuredNode(tokens);
  const call = new RawClient(node.node.addresses.grpc).open('Read', { stream: 'app-1' }, authorizationOf('read'));
  const error = await call.ended;
  expect(error?.details).toBe('token read does not have the right read on stream app-1');
  expect(error?.code).toBe(7);
});

test('the list of streams holds those on which the token has a right, in full pages', async () => {
  const node = await startSecuredNode(tokens);
  const client = new RawClient(node.node.addresses.grpc);
  for (let number = 10; number < 30; number++) {
    for (const prefix of ['app', 'web', 'zzz'])
      expect(await client.reasonOf('CreateStream', { name: `${prefix}-${number}` }, 'owner')).toBe('OK');
  }
  const list = async (token: string, limit: number): Promise<{ pages: number; names: string[] }> => {
    const found: string[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const call = client.open('ListStreams', { limit, pageToken }, authorizationOf(token));
      expect(await call.ended).toBeUndefined();
      const answer = call.messages[0] as { streams: { name: string }[]; nextPageToken: string };
      found.push(...answer.streams.map(({ name }) => name));
      ({ nextPageToken: pageToken } = answer);
      // A token of a page holds the name of its last stream.
      const inToken = Buffer.from(pageToken, 'base64url').subarray(5).toString();
      if (pageToken !== '') expect(inToken).toBe(found.at(-1));
      pages++;
    } while (pageToken !== '');
    return { pages, names: found };
  };
  const web = Array.from({ length: 20 }, (_, index) => `web-${index + 10}`);
  for (const limit of [1, 7, 10, 19, 20, 21, 1000])
    expect(await list('read', limit), `pages of ${limit}`).toEqual({ pages: Math.ceil(20 / limit), names: web });
  expect((await list('owner', 1000)).names).toHaveLength(60);
  expect(await list('nothing', 5)).toEqual({ pages: 1, names: [] });
});

test('any token learns who leads and what the limits are; the rest of a node is for those who may look at it', async () => {
  const node = await startSecuredNode(tokens);
  const client = new RawClient(node.node.addresses.grpc);
  const describeWith = async (token: string): Promise<Record<string, unknown>> => {
    const call = client.open('DescribeCluster', { ownView: true }, authorizationOf(token));
    expect(await call.ended).toBeUndefined();
    return call.messages[0] as Record<string, unknown>;
  };
  const told = await describeWith('nothing');
  expect(told['leaders']).toHaveLength(2);
  expect(told['limits']).toMatchObject({ recordBytes: 1_048_576 });
  expect((told['nodes'] as object[])[0]).toMatchObject({ id: 1, dataDirectory: '', walBytes: '0' });
  expect(((await describeWith('cluster-read'))['nodes'] as object[])[0]).toMatchObject({
    dataDirectory: node.directory,
  });
});

test('a session answers for each append: one that is denied does not end it, nor let another one pass', async () => {
  const node = await startSecuredNode(tokens);
  const client = new RawClient(node.node.addresses.grpc);
  for (const name of ['web-1', 'web-2', 'app-1'])
    expect(await client.reasonOf('CreateStream', { name }, 'owner')).toBe('OK');
  const session = client.open('AppendSession', requests.AppendSession('web-1'), authorizationOf('append'));
  const streams = ['web-1', 'app-1', 'web-2', 'web-1', 'app-1', 'app-1', 'web-2'];
  for (const [index, stream] of streams.slice(1).entries())
    session.write({ requestId: index + 2, append: { stream, batch: batchOf(['a']) } });
  await session.until(streams.length);
  session.end();
  expect(await session.ended).toBeUndefined();
  const answers = session.messages as { requestId: string; error?: { reason: string; message: string } }[];
  expect(answers.map(({ requestId }) => requestId)).toEqual(['1', '2', '3', '4', '5', '6', '7']);
  expect(answers.map(({ error }) => error?.reason ?? 'OK')).toEqual(
    streams.map((stream) => (stream === 'app-1' ? 'PERMISSION_DENIED' : 'OK')),
  );
  expect(answers[1]?.error?.message).toBe('token append does not have the right append on stream app-1');
});

test('health is open, reflection needs a valid token', async () => {
  const node = await startSecuredNode(tokens);
  const address = node.node.addresses.grpc;
  const health = healthClient(address);
  const status = await new Promise<unknown>((resolve, reject) =>
    health.check({}, {}, (error, response) => (error ? reject(error) : resolve(response.status))),
  );
  health.close();
  expect(status).toBe('SERVING');
  for (const version of ['v1', 'v1alpha'] as const) {
    const client = reflectionClient(version, address);
    const open = client.serverReflectionInfo.bind(client) as (
      metadata: object,
    ) => ReturnType<typeof client.serverReflectionInfo>;
    const reasonWith = (token: string | undefined): Promise<string> =>
      new Promise((resolve) => {
        const call = open(authorizationOf(token));
        call.on('error', (error: Parameters<typeof reasonOfError>[0]) => resolve(reasonOfError(error)));
        call.on('data', () => {
          call.removeAllListeners('error').on('error', () => {});
          call.cancel();
          resolve('OK');
        });
        call.write({ listServices: '' });
      });
    expect(await reasonWith(undefined)).toBe('TOKEN_MISSING');
    expect(await reasonWith('forged')).toBe('TOKEN_INVALID');
    expect(await reasonWith('nothing')).toBe('OK');
    client.close();
  }
});

test('of what a stranger sends, nothing is read', async () => {
  const node = await startSecuredNode(tokens);
  const session = connect(`http://${node.node.addresses.grpc}`);
  onTestFinished(() => session.destroy());
  session.on('error', () => {});
  const outcomeOf = (
    headers: Record<string, string>,
  ): Promise<{ readonly status: unknown; readonly isTaken: boolean }> =>
    new Promise((resolve) => {
      const path = '/logboom.v1.StreamService/Append';
      const call = session.request(
        { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
        { endStream: false },
      );
      let status: unknown;
      call.on('response', (answer) => (status = answer['grpc-status']));
      // Of a message of a megabyte all but the last byte: who is let in is waited for.
      const part = Buffer.alloc(1_000_000);
      part.writeUInt32BE(1_000_000, 1);
      call.write(part);
      setTimeout(() => {
        resolve({ status, isTaken: status === undefined });
        call.close();
      }, 500);
    });
  expect(await outcomeOf({})).toEqual({ status: '16', isTaken: false });
  expect(await outcomeOf({ authorization: 'Bearer forged' })).toEqual({ status: '16', isTaken: false });
  expect(await outcomeOf({ authorization: 'Bearer append' })).toEqual({ status: undefined, isTaken: true });
});

describe('the stream that is checked is the stream that is used', () => {
  const decoders: Readonly<Record<string, (bytes: Buffer) => { readonly stream: string }>> = {
    Append: decodeAppendRequest,
    Read: decodeReadRequest,
    Tail: decodeTailRequest,
    GetContext: decodeGetContextRequest,
  };
  const cold = ['CreateStream', 'GetStream', 'UpdateStream', 'DeleteStream', 'GetProducer'];
  const name = fc.constantFrom('web-1', 'app-1', '', 'ü', '\u0000');
  /** Messages in pieces, which protobuf allows: of a name that comes twice, the last one counts. */
  const bytesOf = (method: string): fc.Arbitrary<Buffer> =>
    fc
      .array(
        fc.oneof(
          {
            weight: 4,
            arbitrary: name.map((stream) => protoMethods.get(method)!.requestSerialize(namedRequest(method, stream))),
          },
          { weight: 1, arbitrary: fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)) },
          { weight: 1, arbitrary: fc.constantFrom(Buffer.from([0x08, 0x01]), Buffer.from([0x0d, 1, 0, 0, 0])) },
        ),
        { maxLength: 4 },
      )
      .map((pieces) => Buffer.concat(pieces));

  const namedRequest = (method: string, stream: string): object =>
    ['Append', 'Read', 'Tail', 'GetContext', 'GetProducer'].includes(method) ? { stream } : { name: stream };

  test.each(Object.keys(decoders))('%s', (method) => {
    let compared = 0;
    fc.assert(
      fc.property(bytesOf(method), (bytes) => {
        let used: string | undefined;
        try {
          used = decoders[method]!(bytes).stream;
        } catch {
          return;
        }
        compared++;
        expect(streamNameOf(bytes)).toBe(used);
      }),
      { numRuns: 1000 },
    );
    expect(compared).toBeGreaterThan(100);
  });

  test('AppendSession, message after message', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(bytesOf('Append'), { maxLength: 6 }), async (messages) => {
        const checked: string[] = [];
        const used: string[] = [];
        const caller = { ...openGate.enter('', undefined, () => {}), isUnlimited: false };
        const appends = authorizedAppends(
          { ...caller, require: (_, stream) => void checked.push(stream) },
          {
            answer: async ({ append }) => Buffer.from(String(used.push(decodeAppendRequest(append).stream))),
            close: () => {},
          },
          (error) => error as LogboomError,
        );
        for (const append of messages) {
          const request = { message: append, requestId: Uint8Array.of(0), append };
          const turn = { previous: Promise.resolve(), done: () => {} };
          // What cannot be decoded is refused by whoever carries it out, if not before.
          await appends.answer(request, new AbortController().signal, turn).catch(() => used.push('refused'));
        }
        expect(checked).toHaveLength(used.length);
        for (const [index, stream] of used.entries()) {
          if (stream === 'refused') continue;
          compared++;
          expect(checked[index]).toBe(stream);
        }
      }),
      { numRuns: 1000 },
    );
    expect(compared).toBeGreaterThan(1000);
  });

  test.each(cold)('%s', async (method) => {
    const { streamService } = await import('../../../src/server/rpc/definitions.js');
    const { requestDeserialize } = streamService[method] as { requestDeserialize: (bytes: Buffer) => object };
    let compared = 0;
    fc.assert(
      fc.property(bytesOf(method), (bytes) => {
        const decoded = requestDeserialize(bytes) as { message?: { name?: string; stream?: string }; bytes?: Buffer };
        if (decoded.message === undefined) return;
        compared++;
        expect(streamNameOf(decoded.bytes!)).toBe(decoded.message.name ?? decoded.message.stream);
      }),
      { numRuns: 1000 },
    );
    expect(compared).toBeGreaterThan(100);
  });
});
