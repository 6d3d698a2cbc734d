/** A node without S3 does not pay for the SDK. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const source = (name: string): string => JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href);

const program = (directory: string): string => `
  import { createRequire } from 'node:module';
  import { nodeEnvironmentParts } from ${source('server/adapters/node-environment.ts')};
  import { openObjectStore, parseObjectStoreLocation } from ${source('object-store/index.ts')};
  const { cache } = createRequire(import.meta.url);
  const loaded = () => Object.keys(cache).filter((file) => /@aws-sdk|@smithy/.test(file)).length;
  const open = (value) => openObjectStore(parseObjectStoreLocation('x', value, '/'), nodeEnvironmentParts,
    { s3: { limits: { attemptsMax: 1 }, client: { credentials: { accessKeyId: 'a', secretAccessKey: 'b' } } } });
  await open(${JSON.stringify(directory)});
  const before = loaded();
  const error = await open('s3://bucket?endpoint=http://127.0.0.1:1').catch((error) => error);
  console.log(JSON.stringify({ before, after: loaded(), code: error.code }));
`;

test('the SDK is loaded when a store of S3 is opened, and not before', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-objects-`);
  onTestFinished(() => rm(directory, { recursive: true }));
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import',
    import.meta.resolve('tsx'),
    '--input-type=module',
    '--eval',
    program(directory),
  ]);
  const { before, after, code } = JSON.parse(stdout) as { before: number; after: number; code: string };
  expect([before, code]).toEqual([0, 'UNAVAILABLE']);
  expect(after).toBeGreaterThan(10);
});
