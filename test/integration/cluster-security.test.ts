/** A cluster of real processes with everything on: TLS, mutual TLS on links, tokens; and who is kept out. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { credentials } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { asNodeId, asPartitionId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { ClientOptions, LogboomClient } from '../../src/client/index.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { Links } from '../../src/transport/index.js';
import type { LinkIdentity, LinkTls } from '../../src/transport/index.js';
import { TestAuthority } from '../server/support/certificates.js';
import type { IssuedCertificate } from '../server/support/certificates.js';
import { authorizationOf, RawClient, reasonOfError, tokensFileOf } from '../server/support/secured-node.js';
import type { TestTokens } from '../server/support/secured-node.js';
import { batchOf } from '../server/support/test-node.js';
import { heartbeat } from '../transport/support/nodes.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const authority = new TestAuthority('cluster');
const nodeName = 'nodes.logboom.test';
const everything = [{ streams: '*', rights: ['append', 'read', 'admin'] as const }];
const tokens: TestTokens = {
  owner: { token: 'owner', grants: everything, cluster: ['read', 'admin'] },
  web: { token: 'web', grants: [{ streams: 'web-*', rights: ['append', 'read'] }] },
};

interface Setup {
  readonly cluster: ClusterHosts;
  readonly client: (token: string, firstNode?: number) => LogboomClient;
  readonly channelCredentials: ChannelCredentials;
  readonly caFile: string;
}

async function start(): Promise<Setup> {
  const directory = temporaryDirectory();
  const write = (name: string, content: string): string => {
    const file = path.join(directory, name);
    writeFileSync(file, content);
    return file;
  };
  const issued = authority.issue('node', { hosts: ['127.0.0.1', 'localhost', nodeName] });
  const [certificateFile, keyFile] = [write('node.pem', issued.certificate), write('node.key', issued.key)];
  const caFile = write('ca.pem', authority.certificate);
  const cluster = await ClusterHosts.make({
    partitions: 4,
    wal: { segmentBytes: '1MiB', spareSegments: 0 },
    limits: { batchBytes: '384KiB', recordBytes: '256KiB' },
    disk: { lowWaterMarkBytes: 0 },
    // Clients, and so nodes that forward, show certificates too.
    tls: { certificateFile, keyFile, clientCaFile: caFile, nodeCaFile: caFile },
    security: { tokensFile: write('tokens.json', tokensFileOf(tokens)) },
  });
  for (const host of cluster.hosts) {
    const own = host.settings['cluster'] as object;
    const link = {
      linkCertificateFile: certificateFile,
      linkKeyFile: keyFile,
      linkCaFile: caFile,
      linkServerName: nodeName,
    };
    host.settings = { ...host.settings, cluster: { ...own, ...link } };
  }
  await cluster.start();
  const shown = authority.issue('client');
  const tls = { caFile, certFile: write('client.pem', shown.certificate), keyFile: write('client.key', shown.key) };
  const client = (token: string, firstNode = 1): LogboomClient => {
    const options: ClientOptions = { tls, token };
    return cluster.client(options, firstNode);
  };
  const channelCredentials = credentials.createSsl(
    Buffer.from(authority.certificate),
    Buffer.from(shown.key),
    Buffer.from(shown.certificate),
  );
  return { cluster, client, channelCredentials, caFile };
}

const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'OK',
    (error: unknown) => (isLogboomError(error) ? error.reason : String(error)),
  );

test('a cluster with TLS, mutual TLS on links and tokens works, on every node and by its rights', async () => {
  const { cluster, client, channelCredentials } = await start();
  const owner = client('owner');
  const streams = ['web-1', 'web-2', 'web-3', 'app-1'];
  for (const stream of streams) await owner.streams.create(stream);
  const { nodes } = await owner.cluster.describe();
  expect(nodes.map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
  for (const { replicas } of await owner.cluster.partitions())
    expect(replicas.map(({ role }) => role)).not.toContain('unreachable');

  // Each node gets calls for partitions that it does not lead: they are forwarded, with the rights of the caller.
  for (const { address } of cluster.hosts) {
    const direct = new RawClient(address, channelCredentials);
    for (const stream of streams) {
      const denied = stream === 'app-1' ? 'PERMISSION_DENIED' : 'OK';
      const append = { stream, batch: batchOf(['a']) };
      expect(await direct.reasonOf('Append', append, 'web'), `${stream} through ${address}`).toBe(denied);
      expect(await direct.reasonOf('Append', append, 'owner')).toBe('OK');
      expect(await direct.reasonOf('AppendSession', { requestId: 1, append }, 'web')).toBe(denied);
      expect(await direct.reasonOf('Tail', { stream, fromSeq: 0 }, 'web')).toBe(denied);
      // That another node has sent it is nobody's word but the caller's own.
      for (const [token, reason] of [
        [undefined, 'TOKEN_MISSING'],
        ['forged', 'TOKEN_INVALID'],
      ] as const) {
        const metadata = authorizationOf(token);
        metadata.set('logboom-forwarded-by', '2');
        const error = await direct.open('Append', append, metadata).ended;
        expect(error && reasonOfError(error)).toBe(reason);
      }
    }
  }
  for (const node of [1, 2, 3]) {
    const web = client('web', node);
    expect(await reasonOf(web.append('web-1', ['a']))).toBe('OK');
    expect(await reasonOf(web.append('app-1', ['a']))).toBe('PERMISSION_DENIED');
    expect(await reasonOf(web.cluster.describe())).toBe('PERMISSION_DENIED');
    const appender = await web.appender('web-2');
    await appender.append('b');
    await appender.close();
  }
  // Also after the leader of some of them is gone.
  await cluster.node(1).process.kill();
  const web = client('web', 2);
  const appender = await web.appender('web-3');
  await appender.append('after');
  await appender.close();
  expect(await reasonOf(web.append('app-1', ['a']))).toBe('PERMISSION_DENIED');
});

test('strangers on links: without a certificate, of another authority, or not one of a node', async () => {
  const { cluster, client, caFile } = await start();
  const owner = client('owner');
  await owner.streams.create('kept');
  await owner.append('kept', ['a']);
  const described = await owner.cluster.describe();
  const two = described.nodes.find(({ id }) => id === 2);
  // As much as anybody can know: who node 2 is, its incarnation, and the id of the cluster.
  const identity: LinkIdentity = {
    nodeId: asNodeId(2),
    incarnation: two?.incarnation ?? '',
    clusterId: described.clusterId,
    featureLevel: 1,
  };
  const target = { host: '127.0.0.1', port: cluster.node(1).port + 2 };
  const tlsOf = ({ certificate, key }: IssuedCertificate): LinkTls => ({
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    certificateAuthority: Buffer.from(authority.certificate),
    serverName: nodeName,
    namesOf: () => [nodeName],
  });
  const impostors: readonly (readonly [string, LinkTls | undefined, RegExp])[] = [
    ['plain', undefined, /NODE_UNREACHABLE/],
    ['of another authority', tlsOf(new TestAuthority().issue('node', { hosts: [nodeName] })), /NODE_UNREACHABLE/],
    // As every client of this cluster has one.
    ['a client', tlsOf(authority.issue('client', { hosts: ['client.test'] })), /NODE_CERTIFICATE_MISMATCH/],
    ['without a name', tlsOf(authority.issue(nodeName)), /NODE_CERTIFICATE_MISMATCH/],
  ];
  for (const [who, tls, refusal] of impostors) {
    const impostor = new Links(
      { ...nodeEnvironmentParts, logger: noLogger, metrics: noMetrics },
      {
        listen: { host: '127.0.0.1', port: 0 },
        ...(tls === undefined ? {} : { tls }),
        host: {
          identity: () => identity,
          admit: () => undefined,
          deliver: () => {},
          onPresence: () => {},
          onUnreachable: () => {},
        },
      },
    );
    try {
      await impostor.run();
      impostor.setPeer(asNodeId(1), target);
      for (const method of ['formation-state', 'register-node'])
        expect(await reasonOf(impostor.callAt(target, method, new Uint8Array(0))), `${who}: ${method}`).toMatch(
          refusal,
        );
      impostor.send(asNodeId(1), asPartitionId(1), [heartbeat(1)]);
      await pause(300);
      expect(impostor.status.map(({ state }) => state)).not.toContain('connected');
    } finally {
      await impostor.stop();
    }
  }
  expect((await owner.streams.get('kept')).nextSeq).toBe(1);
  // A node whose own certificate the others would not take does not start.
  const stranger = new TestAuthority().issue('node', { hosts: [nodeName] });
  const other = cluster.node(3);
  await other.process.kill();
  const files = {
    linkCertificateFile: path.join(other.directory, 'stranger.pem'),
    linkKeyFile: path.join(other.directory, 'stranger.key'),
  };
  writeFileSync(files.linkCertificateFile, stranger.certificate);
  writeFileSync(files.linkKeyFile, stranger.key);
  const cluster3 = other.settings['cluster'] as object;
  const refused = other.spawn({ cluster: { ...cluster3, ...files, linkCaFile: caFile } });
  expect((await refused.exited).code).toBe(2);
  expect(refused.log).toContain('is not signed by an authority of');
});
