/** {@link S3ObjectStore} against answers that a well-behaved server does not give. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { isObjectStoreError, openObjectStore, type ObjectStoreErrorCode } from '../../src/object-store/index.js';
import type { S3Location } from '../../src/object-store/location.js';
import { S3ObjectStore } from '../../src/object-store/s3.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Without a length. */
  readonly isChunked?: boolean;
}

const options = {
  limits: { attemptsMax: 3, backoffMsMin: 1, backoffMsMax: 5 },
  client: { credentials: { accessKeyId: 'key', secretAccessKey: 'secret' } },
};

/** A server that answers as told, and counts. */
async function serve(
  answer: (request: IncomingMessage, count: number) => Answer,
): Promise<{ readonly location: S3Location; readonly store: S3ObjectStore; readonly requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      requests.push(`${request.method} ${request.url}`);
      const { status, headers = {}, body = '', isChunked = false } = answer(request, requests.length);
      response.writeHead(status, { ...(isChunked ? {} : { 'content-length': Buffer.byteLength(body) }), ...headers });
      if (isChunked) response.flushHeaders();
      response.end(request.method === 'HEAD' ? undefined : body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const location: S3Location = {
    kind: 's3',
    bucket: 'bucket',
    prefix: 'prefix',
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${port}`,
    pathStyle: true,
  };
  const store = new S3ObjectStore({ location, ...nodeEnvironmentParts, ...options });
  onTestFinished(async () => {
    await store.close();
    server.closeAllConnections();
    server.close();
  });
  return { location, store, requests };
}

const failure = (status: number, code: string, message = 'so says the store'): Answer => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
});

async function expectCode(work: Promise<unknown>, code: ObjectStoreErrorCode, ...messages: string[]): Promise<void> {
  const error: unknown = await work.then(
    (result) => `no error but ${JSON.stringify(result)}`,
    (reason: unknown) => reason,
  );
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
  for (const message of messages) expect((error as Error).message).toContain(message);
}

test.each([
  [403, 'AccessDenied', 'DENIED', 1, 'AccessDenied'],
  [403, 'InvalidAccessKeyId', 'DENIED', 1, 'InvalidAccessKeyId'],
  [400, 'ExpiredToken', 'DENIED', 1, 'ExpiredToken'],
  [403, 'SomethingNew', 'DENIED', 1, 'SomethingNew'],
  [404, 'NoSuchBucket', 'INVALID', 1, 'make the bucket first'],
  [404, 'SomethingElse', 'INVALID', 1, 'SomethingElse'],
  [400, 'AuthorizationHeaderMalformed', 'INVALID', 1, 'parameter `region`'],
  [301, 'PermanentRedirect', 'INVALID', 1, 'parameter `region`'],
  [501, 'NotImplemented', 'INVALID', 1, 'If-None-Match'],
  [400, 'QuotaExceeded', 'FULL', 1, 'QuotaExceeded'],
  [507, 'Whatever', 'FULL', 1, 'HTTP 507'],
  [503, 'SlowDown', 'UNAVAILABLE', 3, 'SlowDown'],
  [500, 'InternalError', 'UNAVAILABLE', 3, 'InternalError'],
  [429, 'TooMany', 'UNAVAILABLE', 3, 'HTTP 429'],
  [409, 'ConditionalRequestConflict', 'UNAVAILABLE', 3, 'ConditionalRequestConflict'],
  [403, 'RequestTimeTooSkewed', 'DENIED', 3, 'the clock of this machine'],
] as const)('%i %s is %s after %i requests', async (status, code, meaning, attempts, words) => {
  const { store, requests } = await serve(() => failure(status, code));
  await expectCode(
    store.putIfAbsent('name', [Uint8Array.of(1)]),
    meaning,
    's3://bucket/prefix',
    'name',
    words,
    'so says the store',
  );
  expect(requests).toEqual(Array.from({ length: attempts }, () => 'PUT /bucket/prefix/name?x-id=PutObject'));
});

test('what passes is tried again', async () => {
  const { store, requests } = await serve((_, count) => (count < 3 ? failure(503, 'SlowDown') : { status: 200 }));
  expect(await store.putIfAbsent('name', [Uint8Array.of(1)])).toBe('created');
  expect(requests).toHaveLength(3);
});

test('an object that arrives damaged is got again, and is CORRUPT when it stays so', async () => {
  const body = 'hello';
  const headers = { 'x-amz-meta-logboom-crc32': '3610a686' };
  const once = await serve((_, count) => ({ status: 200, headers, body: count === 1 ? 'hellp' : body }));
  expect(Buffer.from(await once.store.get('name', { bytesMax: 10 })).toString()).toBe(body);
  expect(once.requests).toHaveLength(2);
  const always = await serve(() => ({ status: 200, headers, body: 'hellp' }));
  await expectCode(always.store.get('name', { bytesMax: 10 }), 'CORRUPT', 'name', '3610a686');
  expect(always.requests).toHaveLength(3);
  // One that another tool has put there.
  const foreign = await serve(() => ({ status: 200, body: 'hellp' }));
  expect(await foreign.store.get('name', { bytesMax: 10 })).toHaveLength(5);
});

test('an object that is too large is not read, whatever it says of its length', async () => {
  const declared = await serve(() => ({ status: 200, body: 'x'.repeat(100) }));
  await expectCode(declared.store.get('name', { bytesMax: 99 }), 'TOO_LARGE', 'name');
  expect(declared.requests).toHaveLength(1);
  const chunked = await serve(() => ({ status: 200, body: 'x'.repeat(100), isChunked: true }));
  await expectCode(chunked.store.get('name', { bytesMax: 99 }), 'TOO_LARGE', 'name');
  expect(await chunked.store.get('name', { bytesMax: 100 })).toHaveLength(100);
});

test('a store that ignores the condition is refused, with the reason', async () => {
  const { location } = await serve((request) =>
    request.method === 'POST'
      ? { status: 200, body: '<DeleteResult></DeleteResult>' }
      : { status: 200, ...(request.method === 'GET' ? { body: '\u0001' } : {}) },
  );
  await expectCode(
    openObjectStore(location, nodeEnvironmentParts, { s3: options }),
    'INVALID',
    's3://bucket/prefix lacks put-if-absent',
    '4 of 4',
  );
});

test('a store that ignores the condition of uploads in parts only is refused', async () => {
  const objects = new Set<string>();
  const { location } = await serve((request) => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const xml = { 'content-type': 'application/xml' };
    if (request.method === 'HEAD') return { status: 404 };
    if (request.method === 'GET') return { status: 200, body: '\u0001' };
    if (request.method === 'PUT' && query.includes('partNumber')) return { status: 200, headers: { etag: '"part"' } };
    if (request.method === 'PUT' && objects.has(path)) return failure(412, 'PreconditionFailed');
    if (request.method === 'PUT') {
      objects.add(path);
      return { status: 200 };
    }
    if (query.includes('uploads'))
      return {
        status: 200,
        headers: xml,
        body: '<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>',
      };
    if (query.includes('uploadId'))
      return { status: 200, headers: xml, body: '<CompleteMultipartUploadResult></CompleteMultipartUploadResult>' };
    return { status: 200, headers: xml, body: '<DeleteResult></DeleteResult>' };
  });
  await expectCode(openObjectStore(location, nodeEnvironmentParts, { s3: options }), 'INVALID', '4 of 4');
  expect(objects.size).toBe(1);
});

test('an upload in parts that met another one begins anew, and is aborted each time', async () => {
  let completions = 0;
  const { store, requests } = await serve((request) => {
    const query = request.url ?? '';
    const headers = { 'content-type': 'application/xml' };
    if (request.method === 'HEAD') return { status: 404 };
    if (request.method === 'DELETE') return { status: 204 };
    if (request.method === 'PUT') return { status: 200, headers: { etag: '"part"' } };
    if (query.includes('uploads'))
      return {
        status: 200,
        headers,
        body: '<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>',
      };
    if (++completions < 3) return failure(409, 'ConditionalRequestConflict');
    return { status: 200, headers, body: '<CompleteMultipartUploadResult></CompleteMultipartUploadResult>' };
  });
  expect(await store.inParts().putIfAbsent('name', [Uint8Array.of(1)])).toBe('created');
  expect(requests.filter((request) => request.startsWith('DELETE'))).toHaveLength(2);
  expect(completions).toBe(3);
});

test('a deletion that is refused for one name is told', async () => {
  const { store } = await serve(() => ({
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body:
      '<DeleteResult><Error><Key>prefix/absent</Key><Code>NoSuchKey</Code></Error>' +
      '<Error><Key>prefix/kept</Key><Code>AccessDenied</Code><Message>it is locked</Message></Error></DeleteResult>',
  }));
  await expectCode(store.delete(['absent', 'kept']), 'DENIED', 'prefix/kept', 'it is locked');
});

test('a list leaves out what is no object of ours, and fills up from further pages', async () => {
  const { store, requests } = await serve((_, count) => ({
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body:
      '<ListBucketResult>' +
      (count === 1 ? '<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>' : '') +
      `<Contents><Key>prefix/folder/</Key><Size>0</Size></Contents>` +
      `<Contents><Key>prefix/name-${count}</Key><Size>7</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>` +
      '</ListBucketResult>',
  }));
  const entries = await store.list('na', { limit: 2, after: 'name' });
  const modifiedUnixMs = Date.UTC(2026, 0, 1);
  expect(entries).toEqual([
    { name: 'name-1', bytes: 7, modifiedUnixMs },
    { name: 'name-2', bytes: 7, modifiedUnixMs },
  ]);
  expect(requests[0]).toContain('start-after=prefix%2Fname');
  expect(requests[1]).toContain('continuation-token=more');
  expect(requests).toHaveLength(2);
});
