import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { asPartitionId } from '../../src/base/ids.js';
import type { LinkTls } from '../../src/transport/index.js';
import { heartbeat, isConnected, startNode, statusOf, until } from './support/nodes.js';

// Made with OpenSSL, valid for a hundred years: a node's certificate, for node.logboom.test and 127.0.0.1, of each of
// two authorities.
const file = (name: string): Uint8Array => readFileSync(new URL(`certificates/${name}`, import.meta.url));
const tlsOf = (owner: 'cluster' | 'stranger'): LinkTls => ({
  certificate: file(`${owner}-node.pem`),
  key: file(`${owner}-node.key`),
  certificateAuthority: file(`${owner}-ca.pem`),
  namesOf: () => ['127.0.0.1'],
});
const cluster = tlsOf('cluster');
const stranger = tlsOf('stranger');

describe('links with mutual TLS', () => {
  it.each([undefined, 'node.logboom.test'])('carry messages and calls; expected name: %s', async (serverName) => {
    const tls = { ...cluster, ...(serverName === undefined ? {} : { serverName }) };
    const [one, two] = [await startNode(1, { tls }), await startNode(2, { tls })];
    const handle = async (request: Uint8Array): Promise<Uint8Array> => request;
    two.links.handle('echo', { kind: 'unary', access: 'members', requestBytesMax: 1 << 20, handle });
    one.links.setPeer(two.id, two.address);
    await until(() => isConnected(one, two), 'the link');
    one.links.send(two.id, asPartitionId(1), [heartbeat(1)]);
    await until(() => two.delivered.length === 1, 'a message');
    expect(await one.links.call(two.id, 'echo', new Uint8Array(1 << 20))).toHaveLength(1 << 20);
  });

  it.each([
    ['whose certificate is of another authority', { ...stranger, certificateAuthority: cluster.certificateAuthority }],
    ['that does not trust the others', { ...cluster, certificateAuthority: stranger.certificateAuthority }],
    ['that expects another name', { ...cluster, serverName: 'elsewhere.logboom.test' }],
    ['that speaks plain text', undefined],
  ])('refuse a node %s', async (_, tls) => {
    const one = await startNode(1, tls === undefined ? {} : { tls });
    const two = await startNode(2, { tls: cluster });
    one.links.setPeer(two.id, two.address);
    await until(() => statusOf(one, two).lastFailure !== undefined, 'the attempt to fail');
    one.links.send(two.id, asPartitionId(1), [heartbeat(1)]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isConnected(one, two)).toBe(false);
    expect(two.delivered).toEqual([]);
  });
});
