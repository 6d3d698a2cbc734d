/** {@link S3ObjectStore} on a real server: the contract, and a network and a server that fail. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { defaultS3Limits, S3ObjectStore, type S3Limits, type S3Options } from '../../src/object-store/s3.js';
import {
  isObjectStoreError,
  openObjectStore,
  parseObjectStoreLocation,
  type ObjectStore,
  type ObjectStoreErrorCode,
} from '../../src/object-store/index.js';
import type { S3Location } from '../../src/object-store/location.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { objectStoreContract } from '../contracts/object-store.js';
import { S3Server, s3ServerBinary } from './support/s3-server.js';
import { TcpProxy } from './support/tcp-proxy.js';

if (s3ServerBinary === undefined) {
  console.warn(
    's3: NOT TESTED against a real S3 server: none is installed (node scripts/ci-services.mjs installs one).',
  );
  test.runIf(process.env['LOGBOOM_CI_S3'] === 'required')('the S3 server is installed, as CI needs it', () => {
    expect.unreachable('node scripts/ci-services.mjs did not install it, or was not run');
  });
}

// Without this the SDK may ask the network of a cloud for credentials.
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';

const bytesMax = 32 * 1024 * 1024;
const content = (length: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) + seed) & 0xff;
  return bytes;
};
const quick: Partial<S3Limits> = { backoffMsMin: 20, backoffMsMax: 200 };

interface Place {
  readonly endpoint?: string;
  readonly prefix?: string;
  readonly bucket?: string;
  readonly limits?: Partial<S3Limits>;
  readonly client?: S3Options['client'];
}

function locationOf(server: S3Server, place: Place): S3Location {
  const { bucket = server.bucket, prefix = 'snap/shots', endpoint = server.endpoint } = place;
  return { kind: 's3', bucket, prefix, region: 'us-east-1', endpoint, pathStyle: true };
}

function optionsOf(server: S3Server, { limits = quick, client = {} }: Place): Pick<S3Options, 'limits' | 'client'> {
  const { accessKeyId, secretAccessKey } = server;
  return { limits, client: { credentials: { accessKeyId, secretAccessKey }, ...client } };
}

function storeAt(server: S3Server, place: Place = {}): S3ObjectStore {
  const store = new S3ObjectStore({
    ...nodeEnvironmentParts,
    location: locationOf(server, place),
    ...optionsOf(server, place),
  });
  onTestFinished(() => store.close());
  return store;
}

const open = (server: S3Server, place: Place = {}): Promise<ObjectStore> =>
  openObjectStore(locationOf(server, place), nodeEnvironmentParts, { s3: optionsOf(server, place) });

async function errorOf(work: Promise<unknown>): Promise<Error> {
  const error: unknown = await work.then(
    (result) => new Error(`no error but ${JSON.stringify(result)}`),
    (reason: unknown) => reason,
  );
  return error as Error;
}

async function expectError(
  work: Promise<unknown>,
  code: ObjectStoreErrorCode,
  ...messages: readonly string[]
): Promise<void> {
  const error = await errorOf(work);
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
  for (const message of messages) expect(error.message).toContain(message);
}

const uploadsLeft = async (server: S3Server): Promise<number> => {
  const { ListMultipartUploadsCommand, S3Client } = await import('@aws-sdk/client-s3');
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: server.bucket }));
  client.destroy();
  return Uploads.length;
};

describe.skipIf(s3ServerBinary === undefined)('S3', () => {
  for (const [name, prefix] of [
    ['below a prefix', 'snap/shots'],
    ['the whole bucket', ''],
  ] as const) {
    objectStoreContract(`S3, ${name}`, {
      async run(work) {
        const server = await S3Server.start();
        await work(storeAt(server, { prefix }), async () => {
          await server.stop();
          await server.run();
          return storeAt(server, { prefix });
        });
      },
    });
  }

  objectStoreContract('S3, every object in parts', {
    async run(work) {
      const server = await S3Server.start();
      await work(storeAt(server).inParts(), () => Promise.resolve(storeAt(server).inParts()));
      expect(await uploadsLeft(server)).toBe(0);
    },
  });

  test('a store is opened by its URL, with the credentials of the environment, and probed', async () => {
    const server = await S3Server.start();
    process.env['AWS_ACCESS_KEY_ID'] = server.accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = server.secretAccessKey;
    try {
      const url = `s3://${server.bucket}/by/url?endpoint=${server.endpoint}&path-style=true`;
      const store = await openObjectStore(parseObjectStoreLocation('repository', url, '/'), nodeEnvironmentParts);
      expect(store.description).toBe(`s3://${server.bucket}/by/url`);
      expect(await store.list('', { limit: 10 })).toEqual([]);
      expect(await store.putIfAbsent('name', [content(3)])).toBe('created');
      await store.close();
    } finally {
      delete process.env['AWS_ACCESS_KEY_ID'];
      delete process.env['AWS_SECRET_ACCESS_KEY'];
    }
    expect((await storeAt(server, { prefix: 'by' }).list('', { limit: 10 })).map(({ name }) => name)).toEqual([
      'url/name',
    ]);
    expect(await uploadsLeft(server)).toBe(0);
  });

  describe('what does not pass by itself is named', () => {
    test('a bucket that does not exist', async () => {
      const server = await S3Server.start();
      await expectError(open(server, { bucket: 'no-such-bucket' }), 'INVALID', 's3://no-such-bucket', 'NoSuchBucket');
    });

    test('credentials that are wrong or missing', async () => {
      const server = await S3Server.start();
      const { accessKeyId, secretAccessKey } = server;
      const wrongSecret = { credentials: { accessKeyId, secretAccessKey: 'guessed-wrongly' } };
      await expectError(open(server, { client: wrongSecret }), 'DENIED', 'SignatureDoesNotMatch');
      const wrongKey = { credentials: { accessKeyId: 'nobody', secretAccessKey } };
      await expectError(open(server, { client: wrongKey }), 'DENIED', 'access key');
      const location = locationOf(server, {});
      await expectError(openObjectStore(location, nodeEnvironmentParts), 'DENIED', 'AWS_ACCESS_KEY_ID');
    });

    test('no secret is in an error, nor in anything that hangs on it', async () => {
      const server = await S3Server.start();
      const credentials = { accessKeyId: 'nobody', secretAccessKey: 'my-secret', sessionToken: 'my-token' };
      const error = await errorOf(open(server, { client: { credentials } }));
      expect(isObjectStoreError(error, 'DENIED')).toBe(true);
      const { inspect } = await import('node:util');
      const shown = inspect(error, { depth: 20, showHidden: true });
      expect(shown).not.toContain('my-secret');
      expect(shown).not.toContain('my-token');
    });

    test('another region than that of the bucket', async () => {
      const server = await S3Server.start();
      await expectError(open(server, { client: { region: 'eu-west-1' } }), 'INVALID', 'parameter `region`');
    });
  });

  test('a clock that is two hours off is corrected by the answer of the store', async () => {
    const server = await S3Server.start();
    const store = storeAt(server, { client: { systemClockOffset: 7_200_000 } });
    expect(await store.putIfAbsent('name', [content(3)])).toBe('created');
  });

  describe('the network', () => {
    const sizes = [
      ['in one request', 300_000],
      ['in parts', 20 * 1024 * 1024],
    ] as const;

    for (const [how, length] of sizes) {
      test(`the answer of a put ${how} is lost: it was done, and is told so at the next attempt`, async () => {
        const server = await S3Server.start();
        const proxy = await TcpProxy.start(server.port);
        const store = storeAt(server, { endpoint: proxy.endpoint });
        const direct = storeAt(server);
        let requests = 0;
        // Each request of the put in turn is the one whose answer is lost.
        for (let lost = 0; lost < 8; lost++) {
          const name = `lost/${lost}`;
          proxy.faults = 0;
          requests = lost;
          proxy.mode = 'lose-answer';
          proxy.onFault = () => (proxy.mode = requests-- > 0 ? 'lose-answer' : 'pass');
          const outcome = await store.putIfAbsent(name, [content(length)]).catch((error: Error) => error.message);
          proxy.mode = 'pass';
          proxy.onFault = () => {};
          expect(proxy.faults).toBeGreaterThan(0);
          const known = (await direct.list(name, { limit: 1 })).length === 1;
          if (outcome === 'created' || outcome === 'exists') expect(known).toBe(true);
          if (known) expect(Buffer.compare(await direct.get(name, { bytesMax }), content(length))).toBe(0);
          expect(await store.putIfAbsent(name, [content(1)])).toBe(known ? 'exists' : 'created');
        }
        expect(await uploadsLeft(server)).toBe(0);
      });

      test(`an upload ${how} is cut in the middle: it is sent again, whole`, async () => {
        const server = await S3Server.start();
        const proxy = await TcpProxy.start(server.port);
        const store = storeAt(server, { endpoint: proxy.endpoint });
        proxy.mode = 'cut-upload';
        let cuts = 2;
        proxy.onFault = () => {
          if (--cuts === 0) proxy.mode = 'pass';
        };
        expect(await store.putIfAbsent('name', [content(length)])).toBe('created');
        expect(proxy.faults).toBe(2);
        expect(Buffer.compare(await storeAt(server).get('name', { bytesMax }), content(length))).toBe(0);
        expect(await uploadsLeft(server)).toBe(0);
      });
    }

    test('a get that breaks off is begun anew', async () => {
      const server = await S3Server.start();
      const proxy = await TcpProxy.start(server.port);
      const bytes = content(8 * 1024 * 1024);
      await storeAt(server).putIfAbsent('name', [bytes]);
      const store = storeAt(server, { endpoint: proxy.endpoint });
      proxy.mode = 'lose-answer';
      proxy.onFault = () => (proxy.mode = 'pass');
      expect(Buffer.compare(await store.get('name', { bytesMax }), bytes)).toBe(0);
      expect(proxy.faults).toBe(1);
    });

    test('no answer is UNAVAILABLE in time, for each operation, and leaves no connection open', async () => {
      const server = await S3Server.start();
      const proxy = await TcpProxy.start(server.port);
      const limits = { ...quick, attemptTimeoutMs: 200, attemptsMax: 2 };
      const store = storeAt(server, { endpoint: proxy.endpoint, limits });
      await store.putIfAbsent('name', [content(10)]);
      proxy.mode = 'stall';
      for (const call of [
        () => store.putIfAbsent('other', [content(10)]),
        () => store.inParts().putIfAbsent('other', [content(10)]),
        () => store.get('name', { bytesMax }),
        () => store.list('', { limit: 1 }),
        () => store.delete(['other']),
      ]) {
        const startMs = performance.now();
        await expectError(call(), 'UNAVAILABLE', 'no answer within 200 ms');
        const tookMs = performance.now() - startMs;
        expect(tookMs).toBeGreaterThanOrEqual(395);
        expect(tookMs).toBeLessThan(3000);
      }
      await expect.poll(() => proxy.connections).toBe(0);
      proxy.mode = 'pass';
      expect(await store.get('name', { bytesMax })).toEqual(content(10));
    });

    test('all attempts together have their time', async () => {
      const server = await S3Server.start();
      const proxy = await TcpProxy.start(server.port);
      const limits = { ...quick, attemptTimeoutMs: 400, overallTimeoutMs: 1000, attemptsMax: 100 };
      const store = storeAt(server, { endpoint: proxy.endpoint, limits });
      proxy.mode = 'stall';
      const startMs = performance.now();
      await expectError(store.putIfAbsent('name', [content(10)]), 'UNAVAILABLE', 'no answer');
      const tookMs = performance.now() - startMs;
      expect(tookMs).toBeGreaterThanOrEqual(800);
      expect(tookMs).toBeLessThan(1800);
    });

    test('the signal of the caller ends a wait at once, with its reason', async () => {
      const server = await S3Server.start();
      const proxy = await TcpProxy.start(server.port);
      const store = storeAt(server, { endpoint: proxy.endpoint });
      proxy.mode = 'stall';
      const controller = new AbortController();
      const pending = store.putIfAbsent('name', [content(10)], { signal: controller.signal });
      setTimeout(() => controller.abort(new Error('enough')), 100);
      const startMs = performance.now();
      expect((await errorOf(pending)).message).toBe('enough');
      expect(performance.now() - startMs).toBeLessThan(2000);
      await expect.poll(() => proxy.connections).toBe(0);
    });

    test('a server that is away for two seconds is waited for', async () => {
      const server = await S3Server.start();
      const limits = { ...defaultS3Limits, attemptsMax: 50, backoffMsMax: 500 };
      const store = storeAt(server, { limits });
      await store.putIfAbsent('before', [content(10)]);
      await server.stop();
      const pending = store.putIfAbsent('after', [content(10)]);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await server.run();
      expect(await pending).toBe('created');
      expect((await store.list('', { limit: 10 })).map(({ name }) => name)).toEqual(['after', 'before']);
    });

    test('a server that stays away is UNAVAILABLE', async () => {
      const server = await S3Server.start();
      const store = storeAt(server, { limits: { ...quick, attemptsMax: 3 } });
      await server.stop();
      await expectError(store.list('', { limit: 1 }), 'UNAVAILABLE', 'ECONNREFUSED');
    });
  });
});
