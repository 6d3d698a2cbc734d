import { expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { parseObjectStoreLocation } from '../../src/object-store/index.js';

const parse = (value: string): unknown => parseObjectStoreLocation('snapshots.repository', value, '/base');

test('paths and file URLs', () => {
  for (const [value, directory] of [
    ['/var/lib/logboom/snapshots', '/var/lib/logboom/snapshots'],
    ['/var//lib/./x/../snapshots/', '/var/lib/snapshots'],
    ['snapshots', '/base/snapshots'],
    ['../snapshots', '/snapshots'],
    ['a@b/c:d', '/base/a@b/c:d'],
    ['file:///var/snap%20shots', '/var/snap shots'],
    ['file://localhost/var', '/var'],
  ] as const)
    expect([value, parse(value)]).toEqual([value, { kind: 'file', directory }]);
});

test('S3 URLs', () => {
  for (const [value, location] of [
    ['s3://my-bucket', { bucket: 'my-bucket', prefix: '', pathStyle: false }],
    ['s3://my.bucket/', { bucket: 'my.bucket', prefix: '', pathStyle: false }],
    [
      's3://bucket/a/b_c/?region=eu-west-1',
      { bucket: 'bucket', prefix: 'a/b_c', region: 'eu-west-1', pathStyle: false },
    ],
    [
      's3://bucket/a?endpoint=http://127.0.0.1:9000',
      { bucket: 'bucket', prefix: 'a', endpoint: 'http://127.0.0.1:9000', pathStyle: true },
    ],
    [
      's3://bucket/a?endpoint=https%3A%2F%2Fobjects.example.org%2F&path-style=false',
      { bucket: 'bucket', prefix: 'a', endpoint: 'https://objects.example.org', pathStyle: false },
    ],
    ['s3://bucket/a?path-style=true', { bucket: 'bucket', prefix: 'a', pathStyle: true }],
  ] as const)
    expect([value, parse(value)]).toEqual([value, { kind: 's3', ...location }]);
});

test('what is malformed is refused with the field, the value and what is wrong', () => {
  for (const [value, ...words] of [
    ['', 'is empty'],
    ['  ', 'is empty'],
    ['http://host/x', 'http://', 'file:///path', 's3://bucket/prefix'],
    ['S4://bucket', 'S4://', 's3://bucket/prefix'],
    ['file://var/lib', 'host var', 'three slashes'],
    ['file:///var?x=1', 'parameters'],
    ['file:///%E0%A4%A', '%'],
    ['s3://', 's3://'],
    ['s3:///prefix', 's3:///prefix', 'bucket'],
    ['s3://My_Bucket/x', 'My_Bucket', 'bucket'],
    ['s3://ab', 'bucket'],
    ['s3://bucket:9000/x', 'bucket'],
    ['s3://bucket/a b', 'prefix'],
    ['s3://bucket/a//b', 'prefix'],
    ['s3://bucket/.a', 'prefix'],
    [`s3://bucket/${'a/'.repeat(130)}`, 'prefix', '256'],
    ['s3://bucket/a#b', '#'],
    ['s3://bucket/a?regoin=x', 'parameter regoin', 'region, endpoint, path-style'],
    ['s3://bucket/a?region=x&region=y', 'parameter region', 'twice'],
    ['s3://bucket/a?region=Frankfurt!', 'parameter region', 'Frankfurt!'],
    ['s3://bucket/a?endpoint=objects.example.org', 'parameter endpoint', 'objects.example.org'],
    ['s3://bucket/a?endpoint=ftp://host', 'parameter endpoint', 'ftp://host'],
    ['s3://bucket/a?endpoint=http://host/path', 'parameter endpoint', 'http://host/path'],
    ['s3://bucket/a?path-style=yes', 'parameter path-style', 'yes'],
  ] as const) {
    const error = errorOf(value);
    expect(isLogboomError(error, 'CONFIGURATION_INVALID'), `${value}: ${String(error)}`).toBe(true);
    for (const word of ['snapshots.repository', ...words]) expect((error as Error).message).toContain(word);
  }
});

test('a secret in the URL is refused and not repeated', () => {
  for (const value of [
    's3://key:hunter2@bucket/x',
    's3://hunter2@bucket',
    's3://bucket/x?secret-access-key=hunter2',
    's3://Bad_Bucket/x?secret-access-key=hunter2',
    's3://bucket/x?endpoint=http://key:hunter2@host',
    's3://bucket/x?endpoint=http%3A%2F%2Fkey%3Ahunter2%40host',
    's3://bucket/x?region=a&region=hunter2',
  ]) {
    const error = errorOf(value) as Error;
    expect(isLogboomError(error, 'CONFIGURATION_INVALID'), value).toBe(true);
    expect(error.message).not.toContain('hunter2');
    expect(JSON.stringify(error)).not.toContain('hunter2');
  }
});

function errorOf(value: string): unknown {
  try {
    return new Error(`no error but ${JSON.stringify(parse(value))}`);
  } catch (error) {
    return error;
  }
}
