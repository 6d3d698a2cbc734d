import { describe, expect, it } from 'vitest';
import { asPartitionId } from '../../src/base/ids.js';
import type { LinkTls } from '../../src/transport/index.js';
import { tlsOf } from './support/certificates.js';
import { heartbeat, isConnected, startNode, statusOf, until } from './support/nodes.js';

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

  it.each(['messages', 'calls before membership'])(
    'refuse %s of whoever has a certificate of the authority, and not one of the node that it says it is',
    async (what) => {
      const one = await startNode(1, { tls: cluster });
      const asked: (number | undefined)[] = [];
      const namesOf = (nodeId: number | undefined): string[] => {
        asked.push(nodeId);
        return nodeId === 1 ? ['one.logboom.test'] : ['node.logboom.test'];
      };
      const two = await startNode(2, { tls: { ...cluster, namesOf } });
      let served = 0;
      const handle = async (request: Uint8Array): Promise<Uint8Array> => {
        served++;
        return request;
      };
      two.links.handle('formation', { kind: 'unary', access: 'open', requestBytesMax: 1024, handle });
      if (what === 'messages') {
        one.links.setPeer(two.id, two.address);
        await until(() => statusOf(one, two).lastRefusal !== undefined, 'the refusal');
        expect(statusOf(one, two).lastRefusal?.error).toMatchObject({ reason: 'NODE_CERTIFICATE_MISMATCH' });
        one.links.send(two.id, asPartitionId(1), [heartbeat(1)]);
        await new Promise((resolve) => setTimeout(resolve, 100));
        expect(isConnected(one, two)).toBe(false);
        expect(two.delivered).toEqual([]);
      } else {
        const call = one.links.callAt(two.address, 'formation', new Uint8Array(1));
        await expect(call).rejects.toMatchObject({
          reason: 'NODE_CERTIFICATE_MISMATCH',
          message: expect.stringContaining('one.logboom.test') as string,
        });
        expect(served).toBe(0);
      }
      expect(asked).toContain(1);
    },
  );

  it('take certificates that have been renewed for connections from then on', async () => {
    const current = { ...stranger };
    const tls: LinkTls = {
      get certificate() {
        return current.certificate;
      },
      get key() {
        return current.key;
      },
      get certificateAuthority() {
        return current.certificateAuthority;
      },
      namesOf: () => ['127.0.0.1'],
    };
    const one = await startNode(1, { tls });
    const two = await startNode(2, { tls: cluster });
    one.links.setPeer(two.id, two.address);
    two.links.setPeer(one.id, one.address);
    await until(() => statusOf(one, two).lastFailure !== undefined, 'an attempt');
    await until(() => statusOf(two, one).lastFailure !== undefined, 'an attempt of the other side');
    expect([isConnected(one, two), isConnected(two, one)]).toEqual([false, false]);
    Object.assign(current, cluster);
    one.links.renewTls();
    await until(() => isConnected(one, two) && isConnected(two, one), 'the links');
  });
});
