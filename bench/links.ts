/**
 * Links between nodes against plain TCP: `npx tsx bench/links.ts`. Two processes on loopback; the receiver reports what
 * it has taken and the processor time of both sides is counted. Prints ratios; absolute figures are the machine's. TCP
 * sends the same bytes with no frames, no checksum and no decoding.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm } from '../src/base/ids.js';
import { noLogger } from '../src/base/ports/logger.js';
import { noMetrics } from '../src/base/ports/metrics.js';
import type { Message } from '../src/raft/index.js';
import { nodeEnvironmentParts } from '../src/server/adapters/node-environment.js';
import { Links, type LinkHost, type NodeAddress } from '../src/transport/index.js';

const environment = { ...nodeEnvironmentParts, logger: noLogger, metrics: noMetrics };
const roundMs = 400;
const rounds = 7;
const partitions = 64;

/** What the receiver tells when it is asked. */
interface Report {
  readonly bytes: number;
  readonly messages: number;
  readonly cpuMs: number;
}

interface Result {
  readonly megabytesPerSecond: number;
  readonly perSecond: number;
  readonly cpuMsPerMegabyte: number;
}

const cpuMs = (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1000;

function makeLinks(id: number, deliver: LinkHost['deliver']): Links {
  return new Links(environment, {
    listen: { host: '127.0.0.1', port: 0 },
    host: {
      identity: () => ({ nodeId: asNodeId(id), incarnation: 'bench', clusterId: 'bench', featureLevel: 1 }),
      admit: () => undefined,
      deliver,
      onPresence: () => {},
      onUnreachable: () => {},
    },
  });
}

async function receive(): Promise<void> {
  const taken = { bytes: 0, messages: 0 };
  const links = makeLinks(2, (_, deliveries) => {
    taken.messages += deliveries.length;
    for (const { message } of deliveries) {
      if (message.type === 'append') for (const { data } of message.entries) taken.bytes += data.length;
    }
  });
  links.handle('echo', { kind: 'unary', access: 'members', requestBytesMax: 1 << 20, handle: async (bytes) => bytes });
  const address = await links.run();
  const server = createServer((socket) => socket.on('data', (chunk) => (taken.bytes += chunk.length)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.on('message', () => process.send?.({ ...taken, cpuMs: cpuMs() } satisfies Report));
  process.on('disconnect', () => process.exit());
  process.send?.({ links: address.port, tcp: (server.address() as { port: number }).port });
}

function ask(child: ChildProcess): Promise<Report> {
  return new Promise((resolve) => {
    child.once('message', (report) => resolve(report as Report));
    child.send('report');
  });
}

/** Runs `send` again and again for the time of a round, then waits until the receiver has taken all of it. */
async function round(child: ChildProcess, send: () => Promise<Omit<Report, 'cpuMs'>>): Promise<Result> {
  const before = await ask(child);
  const ownBefore = cpuMs();
  const startMs = performance.now();
  let [bytes, messages] = [0, 0];
  while (performance.now() - startMs < roundMs) {
    const sent = await send();
    bytes += sent.bytes;
    messages += sent.messages;
  }
  let after = await ask(child);
  while (after.bytes - before.bytes < bytes || after.messages - before.messages < messages) after = await ask(child);
  const seconds = (performance.now() - startMs) / 1000;
  return {
    megabytesPerSecond: bytes / 1e6 / seconds,
    perSecond: messages / seconds,
    cpuMsPerMegabyte: (after.cpuMs - before.cpuMs + cpuMs() - ownBefore) / (bytes / 1e6),
  };
}

function appendOf(entryBytes: number): Message {
  const data = new Uint8Array(entryBytes).map((_, index) => index * 31);
  const [from, to, term] = [asReplicaId(1), asReplicaId(2), asTerm(1)];
  const before = { previousLsn: asLsn(0), previousTerm: asTerm(0), commit: asLsn(0) };
  return { type: 'append', from, to, term, ...before, entries: [{ term, lsn: asLsn(1), kind: 0, data }] };
}

const heartbeat: Message = {
  type: 'heartbeat',
  from: asReplicaId(1),
  to: asReplicaId(2),
  term: asTerm(1),
  commit: asLsn(1),
  round: 1,
};

/** Sends a number of messages, to partitions in turn, as soon as the queue is short enough. */
function linkSender(links: Links, message: Message, count: number): () => Promise<Omit<Report, 'cpuMs'>> {
  const to = asNodeId(2);
  const bytesEach = message.type === 'append' ? message.entries.reduce((sum, { data }) => sum + data.length, 0) : 0;
  return async () => {
    for (;;) {
      const { queueBytes = 0, queueMessages = 0, droppedMessages = 0 } = links.status[0] ?? {};
      if (droppedMessages > 0) throw new Error(`${droppedMessages} messages were dropped`);
      if (queueBytes < 4 << 20 && queueMessages < 16_384) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (let sent = 0; sent < count; sent++) links.send(to, asPartitionId((sent % partitions) + 1), [message]);
    await new Promise((resolve) => setImmediate(resolve));
    return { bytes: count * bytesEach, messages: count };
  };
}

async function tcpSender(port: number, bytes: number): Promise<() => Promise<Omit<Report, 'cpuMs'>>> {
  const socket = connect(port, '127.0.0.1');
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const data = Buffer.alloc(bytes, 7);
  return async () => {
    if (!socket.write(data)) await new Promise<void>((resolve) => socket.once('drain', resolve));
    return { bytes, messages: 0 };
  };
}

function median(results: readonly Result[]): Result {
  const of = (value: (result: Result) => number): number =>
    results.map(value).sort((a, b) => a - b)[Math.floor(results.length / 2)] ?? Number.NaN;
  return {
    megabytesPerSecond: of((result) => result.megabytesPerSecond),
    perSecond: of((result) => result.perSecond),
    cpuMsPerMegabyte: of((result) => result.cpuMsPerMegabyte),
  };
}

/** Calls of 100 bytes, `inFlight` at a time: calls a second, and the median time of one in milliseconds. */
async function calls(links: Links, inFlight: number): Promise<{ perSecond: number; p50Ms: number }> {
  const request = new Uint8Array(100);
  const latencies: number[] = [];
  const startMs = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - startMs < 2 * roundMs) {
      const beginMs = performance.now();
      await links.call(asNodeId(2), 'echo', request);
      latencies.push(performance.now() - beginMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - startMs) / 1000;
  const p50Ms = latencies.sort((a, b) => a - b)[Math.floor(latencies.length / 2)] ?? Number.NaN;
  return { perSecond: latencies.length / seconds, p50Ms };
}

async function compare(child: ChildProcess, links: Links, tcpPort: number): Promise<void> {
  const tcp = await tcpSender(tcpPort, 1 << 18);
  const loads = [
    { name: '256 KiB entries', send: linkSender(links, appendOf(1 << 18), 8), results: [] as Result[] },
    { name: '4 KiB entries', send: linkSender(links, appendOf(4096), 256), results: [] as Result[] },
    { name: '100 B entries', send: linkSender(links, appendOf(100), 1024), results: [] as Result[] },
    { name: 'heartbeats', send: linkSender(links, heartbeat, 1024), results: [] as Result[] },
  ];
  const raw: Result[] = [];
  for (const { send } of loads) await round(child, send);
  // In turn, so that other users of the machine disturb all alike.
  for (let turn = 0; turn < rounds; turn++) {
    raw.push(await round(child, tcp));
    for (const load of loads) load.results.push(await round(child, load.send));
  }
  const base = median(raw);
  const rows = [
    { name: 'TCP, 256 KiB writes', ...base },
    ...loads.map(({ name, results }) => ({ name, ...median(results) })),
  ];
  console.log('load                   MB/s   messages/s   CPU ms/MB, both sides   MB/s to TCP');
  for (const { name, megabytesPerSecond, perSecond, cpuMsPerMegabyte } of rows) {
    const cells = [
      name.padEnd(20),
      megabytesPerSecond.toFixed(0).padStart(7),
      perSecond.toFixed(0).padStart(13),
      (Number.isFinite(cpuMsPerMegabyte) ? cpuMsPerMegabyte.toFixed(2) : '-').padStart(24),
      (megabytesPerSecond / base.megabytesPerSecond).toFixed(2).padStart(14),
    ];
    console.log(cells.join(''));
  }
  for (const inFlight of [1, 64]) {
    const { perSecond, p50Ms } = await calls(links, inFlight);
    console.log(`calls of 100 B, ${inFlight} in flight: ${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(2)} ms`);
  }
}

async function send(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['receive'], { execArgv: process.execArgv });
  const ports = await new Promise<{ links: number; tcp: number }>((resolve) => {
    child.once('message', (message) => resolve(message as { links: number; tcp: number }));
  });
  const links = makeLinks(1, () => {});
  await links.run();
  const address: NodeAddress = { host: '127.0.0.1', port: ports.links };
  links.setPeer(asNodeId(2), address);
  while (links.status[0]?.state !== 'connected') await new Promise((resolve) => setTimeout(resolve, 5));
  try {
    await compare(child, links, ports.tcp);
  } finally {
    await links.stop();
    child.kill();
  }
}

if (process.argv[2] === 'receive') await receive();
else {
  await send();
  process.exit();
}
