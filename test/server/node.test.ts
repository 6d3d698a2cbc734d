import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Codec } from '../../src/base/ports/compressor.js';
import { ZstdCompressor } from '../../src/server/adapters/zstd-compressor.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { startNode, loadConfiguration } from '../../src/server/index.js';
import type { RunningNode } from '../../src/server/index.js';
import type { AppendResponseMessage, ClusterResponses, StreamResponses } from './support/messages.js';
import { healthClient, reflectionClient } from './support/standard-clients.js';
import {
  batchOf,
  clusterClient,
  collect,
  detailsOf,
  reasonOf,
  streamClient,
  unary,
  valuesOf,
} from './support/test-node.js';
import type { ClusterClient, StreamCall, StreamClient } from './support/test-node.js';

// One node for all: every RPC once, by a client generated from the proto files.

let directory: string;
let node: RunningNode;
let streams: StreamClient;
let cluster: ClusterClient;
let call: StreamCall;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'logboom-node-'));
  const { configuration } = loadConfiguration({
    flags: [
      '--port=0',
      '--partitions=3',
      `--data-dir=${directory}/data`,
      '--wal-segment-bytes=32MiB',
      '--node-name=test',
    ],
  });
  node = await startNode(configuration, { logger: noLogger });
  streams = streamClient(node.addresses.grpc);
  cluster = clusterClient(node.addresses.grpc);
  call = unary<StreamResponses>(streams);
});

afterAll(async () => {
  streams.close();
  cluster.close();
  await node.stop();
  rmSync(directory, { recursive: true, force: true });
});

const append = (stream: string, values: readonly string[], more: object = {}): Promise<AppendResponseMessage> =>
  call('append', { stream, batch: batchOf(values), ...more });
const create = (name: string, more: object = {}): Promise<StreamResponses['createStream']> =>
  call('createStream', { name, ...more });

describe('streams', () => {
  test('CreateStream, GetStream, UpdateStream, DeleteStream', async () => {
    const { stream, created } = await create('orders', {
      config: { retentionAgeMs: 1000, retentionBytes: 5000 },
      fencingToken: 'f1',
    });
    expect(created).toBe(true);
    expect(stream).toMatchObject({
      name: 'orders',
      config: { retentionAgeMs: '1000', retentionBytes: '5000' },
      firstSeq: '0',
      nextSeq: '0',
      storedBytes: '0',
      lastAppendUnixMs: '0',
      fencingToken: 'f1',
      producerCount: 0,
    });
    expect(Number(stream.epoch)).toBeGreaterThan(0);
    expect(Math.abs(Date.now() - Number(stream.createdUnixMs))).toBeLessThan(60_000);
    expect(await reasonOf(create('orders'))).toBe('STREAM_ALREADY_EXISTS');
    expect(await create('orders', { ifNotExists: true })).toMatchObject({
      created: false,
      stream: { epoch: stream.epoch },
    });
    expect((await call('getStream', { name: 'orders' })).stream).toEqual(stream);
    const updated = await call('updateStream', {
      name: 'orders',
      retentionBytes: 0,
      expectedFencingToken: 'f1',
      fencingToken: '',
    });
    expect(updated.stream).toMatchObject({ config: { retentionAgeMs: '1000', retentionBytes: '0' }, fencingToken: '' });
    expect(await reasonOf(call('updateStream', { name: 'orders', expectedFencingToken: 'f1' }))).toBe(
      'FENCING_TOKEN_MISMATCH',
    );
    expect(await reasonOf(call('deleteStream', { name: 'orders', expectedEpoch: 1 }))).toBe('STREAM_EPOCH_MISMATCH');
    expect(await call('deleteStream', { name: 'orders', expectedEpoch: stream.epoch })).toEqual({
      firstSeq: '0',
      nextSeq: '0',
    });
    expect(await reasonOf(call('getStream', { name: 'orders' }))).toBe('STREAM_NOT_FOUND');
    expect(await reasonOf(create('bad name'))).toBe('STREAM_NAME_INVALID');
    expect(await reasonOf(create('big', { config: { retentionBytes: '18446744073709551615' } }))).toBe(
      'INVALID_ARGUMENT',
    );
  });

  test('ListStreams over all partitions, page by page, in order', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `list/${String(index).padStart(2, '0')}`);
    await Promise.all(names.map((name) => create(name)));
    const listed: string[] = [];
    const partitions = new Set<number>();
    let pageToken = '';
    do {
      const page = await call('listStreams', { prefix: 'list/', limit: 7, pageToken });
      for (const stream of page.streams) partitions.add(stream.partition);
      listed.push(...page.streams.map((stream) => stream.name));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed).toEqual(names);
    expect([...partitions].sort()).toEqual([1, 2, 3]);
    expect((await call('listStreams', { prefix: 'list/1' })).streams).toHaveLength(10);
    expect((await call('listStreams', { prefix: 'none' })).streams).toEqual([]);
    expect(await reasonOf(call('listStreams', { limit: 0 }))).toBe('INVALID_ARGUMENT');
    expect(await reasonOf(call('listStreams', { limit: 1001 }))).toBe('INVALID_ARGUMENT');
    expect(await reasonOf(call('listStreams', { pageToken: 'AAAA' }))).toBe('PAGE_TOKEN_INVALID');
  });
});

describe('appends and reads', () => {
  test('Append, Read both ways, GetProducer, GetContext', async () => {
    await create('reads');
    const producer = (firstRecordNumber: number): object => ({ producer: { id: 'p', epoch: 1, firstRecordNumber } });
    const first = await append('reads', ['a', 'b', 'c'], producer(0));
    expect(first).toMatchObject({
      firstSeq: '0',
      lastSeq: '2',
      durability: 'DURABILITY_QUORUM_SYNCED',
      repeated: false,
    });
    expect(await append('reads', ['a', 'b', 'c'], producer(0))).toEqual({ ...first, repeated: true });
    await append('reads', ['d'], { expectedNextSeq: 3, expectedEpoch: first.streamEpoch });
    await append('reads', ['e', 'f'], producer(3));

    const page = await call('read', { stream: 'reads', limit: 4 });
    expect(page).toMatchObject({
      recordCount: 4,
      end: 'PAGE_END_LIMIT',
      firstSeq: '0',
      nextSeq: '6',
      streamEpoch: first.streamEpoch,
    });
    expect(valuesOf(page)).toEqual(['a', 'b', 'c', 'd']);
    expect(page.batches[0]).toMatchObject({
      firstSeq: '0',
      lsn: first.lsn,
      producer: { id: 'p', epoch: '1', firstRecordNumber: '0' },
    });
    expect(page.batches[1]!.producer).toBeNull();
    const rest = await call('read', { stream: 'reads', pageToken: page.nextPageToken });
    expect(valuesOf(rest)).toEqual(['e', 'f']);
    expect(rest.end).toBe('PAGE_END_STREAM');
    const backward = await call('read', { stream: 'reads', direction: 'DIRECTION_BACKWARD', limit: 3 });
    expect(valuesOf(backward)).toEqual(['e', 'f', 'd']);
    expect(valuesOf(await call('read', { stream: 'reads', last: 2 }))).toEqual(['e', 'f']);
    expect(valuesOf(await call('read', { stream: 'reads', sinceUnixMs: Date.now() + 60_000 }))).toEqual([]);

    expect(await call('getProducer', { stream: 'reads', producerId: 'p' })).toEqual({
      epoch: '1',
      nextRecordNumber: '5',
      streamEpoch: first.streamEpoch,
      known: true,
      lastSeq: '5',
    });
    expect(await call('getProducer', { stream: 'reads', producerId: 'q' })).toMatchObject({
      known: false,
      nextRecordNumber: '0',
    });
    const around = await call('getContext', { stream: 'reads', seq: 4, before: 2, after: 5 });
    expect(around).toMatchObject({ beforeCount: 2, afterCount: 1, moreBefore: true, moreAfter: false });
    const own = await call('getContext', { stream: 'reads', seq: 4, before: 2, scope: 'CONTEXT_SCOPE_PRODUCER' });
    expect(own.batches.map((slice) => slice.producer?.id)).toEqual(['p', 'p']);
  });

  test('refusals carry reason, facts and status', async () => {
    await create('refused');
    const epoch = (await append('refused', ['x'])).streamEpoch;
    const cases: [() => Promise<unknown>, string][] = [
      [() => append('nowhere', ['x']), 'STREAM_NOT_FOUND'],
      [() => append('', ['x']), 'STREAM_NOT_FOUND'],
      [() => append('refused', []), 'BATCH_EMPTY'],
      [() => call('append', { stream: 'refused' }), 'BATCH_EMPTY'],
      [() => append('refused', ['x'], { expectedNextSeq: 0 }), 'SEQ_MISMATCH'],
      [() => append('refused', ['x'], { expectedEpoch: 7 }), 'STREAM_EPOCH_MISMATCH'],
      [() => append('refused', ['x'], { fencingToken: 'none set' }), 'FENCING_TOKEN_MISMATCH'],
      [() => append('refused', ['x'], { producer: { id: '' } }), 'INVALID_ARGUMENT'],
      [() => append('refused', ['x'], { producer: { id: 'p', firstRecordNumber: 5 } }), 'PRODUCER_GAP'],
      [() => append('refused', ['x'.repeat(2 ** 20 + 1)]), 'RECORD_TOO_LARGE'],
      [
        () =>
          append(
            'refused',
            Array.from({ length: 10_001 }, () => ''),
          ),
        'BATCH_TOO_LARGE',
      ],
      [
        () =>
          call('append', {
            stream: 'refused',
            batch: { codec: 1, recordCount: 1, uncompressedBytes: 5, compressed: Buffer.from('junk') },
          }),
        'BATCH_MALFORMED',
      ],
      [() => call('read', { stream: 'refused', limit: 0 }), 'INVALID_ARGUMENT'],
      [() => call('read', { stream: 'refused', limit: 10_001 }), 'INVALID_ARGUMENT'],
      [() => call('read', { stream: 'refused', fromSeq: 2 }), 'SEQ_BEYOND_END'],
      [() => call('read', { stream: 'refused', pageToken: 'junk' }), 'PAGE_TOKEN_INVALID'],
      [() => call('read', { stream: 'refused', expectedEpoch: 7 }), 'STREAM_EPOCH_MISMATCH'],
      [() => call('read', { stream: 'refused', maxBytes: 1 }), 'INVALID_ARGUMENT'],
      [() => call('getContext', { stream: 'refused', seq: 0, scope: 'CONTEXT_SCOPE_PRODUCER' }), 'PRODUCER_NOT_FOUND'],
    ];
    for (const [index, [refused, reason]] of cases.entries())
      expect([index, await reasonOf(refused())]).toEqual([index, reason]);
    try {
      await append('refused', ['x'], { expectedNextSeq: 0 });
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 9 });
      expect(detailsOf(error).errorInfo).toMatchObject({ domain: 'logboom', reason: 'SEQ_MISMATCH' });
    }
    expect((await call('getStream', { name: 'refused' })).stream).toMatchObject({ epoch, nextSeq: '1' });
  });

  test('bytes that are no request: INVALID_ARGUMENT or BATCH_MALFORMED, of hot and of cold methods', async () => {
    const raw = (method: string, bytes: Buffer): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const identity = (buffer: Buffer): Buffer => buffer;
        streams.makeUnaryRequest(
          `/logboom.v1.StreamService/${method}`,
          identity,
          identity,
          bytes,
          (error: unknown, value: unknown) => (error ? reject(error as Error) : resolve(value)),
        );
      });
    const junk = Buffer.from([0x0a, 0xff, 0xff, 0x03]);
    for (const method of ['Append', 'Read', 'GetContext', 'CreateStream', 'ListStreams']) {
      expect([method, await reasonOf(raw(method, junk))]).toEqual([method, 'INVALID_ARGUMENT']);
    }
    // protobufjs would take the name that was cut for a shorter one.
    const cut = Buffer.concat([Buffer.from([0x0a, 8]), Buffer.from('reads')]);
    const badText = Buffer.from([0x0a, 2, 0xc3, 0x28]);
    const badNested = Buffer.concat([Buffer.from([0x0a, 1, 0x61]), Buffer.from([0x12, 2, 0x08, 0xff])]);
    for (const bytes of [cut, badText]) expect(await reasonOf(raw('DeleteStream', bytes))).toBe('INVALID_ARGUMENT');
    expect(await reasonOf(raw('CreateStream', badNested))).toBe('INVALID_ARGUMENT');
    expect(await reasonOf(call('getStream', { name: 'reads' }))).toBe('OK');
    const malformedBatch = Buffer.from([0x0a, 5, ...Buffer.from('reads'), 0x12, 4, 0x22, 2, 0x0a, 9]);
    expect(await reasonOf(raw('Append', malformedBatch))).toBe('BATCH_MALFORMED');
  });

  test('a batch at the limit passes, above it the call is refused', async () => {
    await create('large');
    const values = Array.from({ length: 8 }, () => 'y'.repeat(2 ** 20 - 10));
    expect(await append('large', values)).toMatchObject({ lastSeq: '7' });
    const page = await call('read', { stream: 'large', maxBytes: 64 * 2 ** 20 });
    expect(valuesOf(page).every((value, index) => value === values[index])).toBe(true);
    await expect(append('large', [...values, 'z'.repeat(200_000)])).rejects.toMatchObject({ code: 8 });
    const oneRecord = await call('read', { stream: 'large', maxBytes: 1024 });
    expect(oneRecord.recordCount).toBe(1);
  });

  test('AppendSession: answers in order, refusals among them, all 64 bits of the id', async () => {
    await create('session');
    const session = streams.appendSession();
    const { messages, ended } = collect(session);
    const ids = Array.from({ length: 300 }, (_, index) => (2n ** 64n - 1n - BigInt(index)).toString());
    for (const [index, requestId] of ids.entries()) {
      const stream = index % 10 === 9 ? 'missing' : 'session';
      session.write({ requestId, append: { stream, batch: batchOf([`v${index}`]) } });
    }
    session.end();
    expect(await ended).toBeUndefined();
    expect(messages.map((message) => message.requestId)).toEqual(ids);
    const refused = messages.filter((message) => message.result === 'error');
    expect(refused).toHaveLength(30);
    expect(refused[0]!.error).toMatchObject({ code: 5, reason: 'STREAM_NOT_FOUND', retryable: false });
    const seqs = messages.filter((message) => message.result === 'ok').map((message) => Number(message.ok?.firstSeq));
    expect(seqs).toEqual(Array.from({ length: 270 }, (_, index) => index));
    const page = await call('read', { stream: 'session', limit: 1000 });
    expect(valuesOf(page)).toEqual(ids.map((_, index) => `v${index}`).filter((_, index) => index % 10 !== 9));
  });

  test('AppendSession: batches are proposed in the order sent, also when a later one is verified or refused first', async () => {
    await create('ordered');
    const recordSet = (values: readonly string[]): Buffer =>
      Buffer.concat(
        values.map((value) => {
          const bytes = Buffer.from(value);
          const length = Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]);
          const field = Buffer.concat([Buffer.from([0x0a]), length, bytes]);
          const outer = Buffer.from([(field.length & 0x7f) | 0x80, field.length >> 7]);
          return Buffer.concat([Buffer.from([0x0a]), outer, field]);
        }),
      );
    const compressor = new ZstdCompressor();
    const slow = recordSet(Array.from({ length: 600 }, (_, index) => `slow ${index} `.padEnd(5000, 'abc')));
    const compressed = await compressor.compress(Codec.zstd, slow);
    await compressor.stop();
    const batch = { codec: 1, recordCount: 600, uncompressedBytes: slow.length, compressed: Buffer.from(compressed) };
    const session = streams.appendSession();
    const { messages, ended } = collect(session);
    for (let round = 0; round < 5; round++) {
      session.write({ requestId: 1, append: { stream: 'ordered', batch } });
      session.write({ requestId: 2, append: { stream: 'ordered', batch: { codec: 9 } } });
      session.write({ requestId: 3, append: { stream: 'ordered', batch: batchOf(['quick']) } });
    }
    session.end();
    expect(await ended).toBeUndefined();
    expect(messages.map(({ ok, error }) => ok?.firstSeq ?? error?.reason)).toEqual(
      Array.from({ length: 5 }, (_, round) => [`${round * 601}`, 'CODEC_NOT_SUPPORTED', `${round * 601 + 600}`]).flat(),
    );
    // Stored as it came, for those who take it; uncompressed and in pieces for the others.
    const asStored = await call('read', { stream: 'ordered', limit: 600, acceptCodecs: [1] });
    expect(asStored.batches).toHaveLength(1);
    expect(asStored.batches[0]!.batch).toMatchObject({ codec: 'CODEC_ZSTD', compressed: batch.compressed });
    const plain = await call('read', { stream: 'ordered', fromSeq: 598, limit: 4 });
    expect(valuesOf(plain).map((value) => value.slice(0, 8))).toEqual(['slow 598', 'slow 599', 'quick', 'slow 0 a']);
  });

  test('AppendSession: a message that cannot be answered ends it', async () => {
    const identity = (buffer: Buffer): Buffer => buffer;
    const session = streams.makeBidiStreamRequest('/logboom.v1.StreamService/AppendSession', identity, identity);
    const { ended } = collect(session);
    session.write(Buffer.from([0x0a, 0]));
    expect(detailsOf(await ended).errorInfo.reason).toBe('INVALID_ARGUMENT');
  });
});

describe('tails', () => {
  test('what is there, then what is appended, at once', async () => {
    await create('tail');
    await append('tail', ['a', 'b']);
    const tail = streams.tail({ stream: 'tail', fromSeq: 1 });
    const { messages, ended, until } = collect(tail);
    await until(1);
    expect(valuesOf(messages[0]!)).toEqual(['b']);
    const delays: number[] = [];
    for (let index = 0; index < 20; index++) {
      const startedMs = performance.now();
      await append('tail', [`n${index}`]);
      await until(messages.length === index + 2 ? index + 2 : index + 2);
      delays.push(performance.now() - startedMs);
    }
    expect(valuesOf({ batches: messages.flatMap((message) => message.batches) })).toEqual([
      'b',
      ...Array.from({ length: 20 }, (_, index) => `n${index}`),
    ]);
    // Far below any interval at which a tail could look for news, on a machine that does other things as well.
    expect(delays.toSorted((left, right) => left - right)[10]).toBeLessThan(500);
    const resumed = collect(streams.tail({ stream: 'tail', pageToken: messages[10]!.nextPageToken }));
    await resumed.until(1);
    expect(valuesOf(resumed.messages[0]!)[0]).toBe('n10');
    await call('deleteStream', { name: 'tail' });
    expect(detailsOf(await ended).errorInfo.reason).toBe('STREAM_NOT_FOUND');
    expect(detailsOf(await resumed.ended).errorInfo.reason).toBe('STREAM_NOT_FOUND');
  });

  test('without a start only what comes; a deadline or the caller ends it', async () => {
    await create('tail2');
    await append('tail2', ['old']);
    const tail = streams.tail({ stream: 'tail2' }, { deadline: Date.now() + 2500 });
    const { messages, ended, until } = collect(tail);
    await until(1);
    expect(messages[0]!.recordCount).toBe(0);
    await append('tail2', ['new']);
    await until(2);
    expect(valuesOf(messages[1]!)).toEqual(['new']);
    expect(await ended).toMatchObject({ code: 4 });
    const cancelled = streams.tail({ stream: 'tail2' });
    const other = collect(cancelled);
    await other.until(1);
    cancelled.cancel();
    expect(await other.ended).toMatchObject({ code: 1 });
    expect(await reasonOf(call('append', { stream: 'tail2', batch: batchOf(['x']) }))).toBe('OK');
    expect(detailsOf(await collect(streams.tail({ stream: 'missing' })).ended).errorInfo.reason).toBe(
      'STREAM_NOT_FOUND',
    );
  });
});

describe('the cluster', () => {
  test('DescribeCluster', async () => {
    const described = await unary<ClusterResponses>(cluster)('describeCluster', {});
    expect(described.clusterId).toBe(node.clusterId);
    expect(described.clusterId).toMatch(/^[0-9a-f]{14}$/);
    expect(described.slotPartitions).toHaveLength(4096);
    expect(new Set(described.slotPartitions)).toEqual(new Set([1, 2, 3]));
    expect(described.nodes).toHaveLength(1);
    expect(described.nodes[0]).toMatchObject({
      id: 1,
      name: 'test',
      zone: 'default',
      version: node.version,
      state: 'ok',
      advertisedAddresses: [node.addresses.grpc],
      dataDirectory: `${directory}/data`,
    });
    expect(Number(described.nodes[0]!.walBytes)).toBeGreaterThan(0);
    expect(Number(described.nodes[0]!.diskFreeBytes)).toBeGreaterThan(0);
    expect(described.limits).toMatchObject({ recordBytes: 2 ** 20, batchBytes: 8 * 2 ** 20, batchRecords: 10_000 });
    expect(described.leaders.map(({ partition, node: leader }) => [partition, leader])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
  });

  test('ListPartitions keeps rule 1', async () => {
    const { partitions } = await unary<ClusterResponses>(cluster)('listPartitions', {});
    expect(partitions.map((partition) => partition.id)).toEqual([1, 2, 3]);
    expect(partitions.reduce((sum, { slotCount }) => sum + slotCount, 0)).toBe(4096);
    for (const { replicas } of partitions) {
      const [replica] = replicas;
      expect(replica).toMatchObject({ role: 'leader', nodeId: 1, trimMode: 'persisted', fault: '' });
      expect(replica.stateHash).toMatch(/^[0-9a-f]{16}$/);
      expect(replica.archivedLsn).toBeUndefined();
      const lsns = [replica.persistedLsn, replica.appliedLsn, replica.commitLsn, replica.durableLsn].map(Number);
      expect(lsns).toEqual(lsns.toSorted((left, right) => left - right));
    }
  });

  test('VerifyPartition reads everything and tells its digest', async () => {
    const partition = (await call('createStream', { name: 'verified', ifNotExists: true })).stream.partition;
    await append('verified', ['a', 'b']);
    const { messages, ended } = collect(cluster.verifyPartition({ partition }));
    expect(await ended).toBeUndefined();
    const outcome = messages.at(-1)!;
    expect(outcome).toMatchObject({ done: true, damaged: [] });
    expect(outcome.digest).not.toBe('');
    expect(Number(outcome.values)).toBeGreaterThan(0);
    expect(detailsOf(await collect(cluster.verifyPartition({ partition: 99 })).ended).errorInfo.reason).toBe(
      'PARTITION_NOT_FOUND',
    );
    expect(detailsOf(await collect(cluster.verifyPartition({})).ended).errorInfo.reason).toBe('INVALID_ARGUMENT');
  });
});

describe('health, reflection, HTTP', () => {
  test('grpc.health.v1', async () => {
    const client = healthClient(node.addresses.grpc);
    for (const service of ['', 'logboom.v1.StreamService', 'logboom.v1.ClusterService']) {
      expect(await unary<{ check: object }>(client)('check', { service })).toEqual({ status: 'SERVING' });
    }
    client.close();
  });

  test.each(['v1', 'v1alpha'] as const)(
    'reflection %s describes the services as the proto files do',
    async (version) => {
      const client = reflectionClient(version, node.addresses.grpc);
      const stream = client.serverReflectionInfo();
      const { messages, until } = collect(stream);
      stream.write({ listServices: '*' });
      stream.write({ fileContainingSymbol: 'logboom.v1.StreamService.Append' });
      await until(2);
      stream.end();
      const names = messages[0]!.listServicesResponse!.service.map(({ name }) => name);
      for (const name of ['logboom.v1.StreamService', 'logboom.v1.ClusterService', 'grpc.health.v1.Health']) {
        expect(names).toContain(name);
      }
      const files = messages[1]!.fileDescriptorResponse!.fileDescriptorProto;
      expect(files.some((file) => file.includes('AppendRequest') && file.includes('expected_next_seq'))).toBe(true);
      client.close();
    },
  );

  test('metrics and readiness', async () => {
    expect(await (await fetch(`${node.addresses.http}/readyz`)).json()).toEqual({
      ready: true,
      reasons: [],
      degraded: [],
    });
    expect((await fetch(`${node.addresses.http}/healthz`)).status).toBe(200);
    const text = await (await fetch(`${node.addresses.http}/metrics`)).text();
    expect(text).toMatch(/^logboom_append_records_total [1-9]/m);
    expect(text).toMatch(/^logboom_grpc_calls_total\{.*method="Append".*\} [1-9]/m);
    expect(text).toMatch(/^logboom_partition_lsn\{.*kind="persisted".*\} \d/m);
  });
});
