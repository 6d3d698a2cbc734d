import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { crc32 as zlibCrc32 } from 'node:zlib';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { ProtobufWriter } from '../../src/base/protobuf.js';
import { FileObjectStore } from '../../src/object-store/file.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { ZstdCompressor } from '../../src/server/adapters/zstd-compressor.js';
import {
  type PartitionArchive,
  restoreSnapshot,
  SnapshotRepository,
  type WrittenSnapshot,
} from '../../src/snapshot/index.js';
import { ApplyTransaction, LevelDbProvider, openStateStore, type StateStore } from '../../src/state-store/index.js';
import {
  appendCommand,
  createStreamCommand,
  defaultStreamsLimits,
  encodeCommand,
  requireStream,
  StreamsStateMachine,
} from '../../src/streams/index.js';
import { startLoopDelay } from '../support/loop-delay.js';
import type { Payloads } from '../support/payloads.js';
import type { Figures, Workload, WorkloadContext } from '../support/workload.js';

const { clock, random, crc32 } = nodeEnvironmentParts;
const mebibyte = 1 << 20;
/** At the rate that is aimed at, writing takes as long as the command line says. */
const megabytesPerSecond = 100;
const laterBytes = 10 * mebibyte;
const batchBytes = 64 * 1024;
const groupBatches = 64;
const streams = 8;

/** A partition on disk, filled past the network and the log. */
class Partition {
  readonly #store: StateStore;
  readonly #machine = new StreamsStateMachine({ producersCachedMax: 1000 });
  readonly #payloads: Payloads;
  #timeMs = 1_700_000_000_000;

  private constructor(store: StateStore, payloads: Payloads) {
    this.#store = store;
    this.#payloads = payloads;
  }

  static async create(directory: string, payloads: Payloads): Promise<Partition> {
    const store = await openStateStore({ directory, provider: new LevelDbProvider(nodeDisk), clock, crc32 });
    const partition = new Partition(store, payloads);
    await partition.#machine.load(store);
    const commands = Array.from({ length: streams }, (_, number) => {
      const request = {
        name: `s${number}`,
        config: { retentionAgeMs: 0, retentionBytes: 0 },
        fencingToken: '',
        ifNotExists: false,
      };
      return encodeCommand(createStreamCommand(request, number + 1, defaultStreamsLimits), {
        timeMs: partition.#timeMs,
      });
    });
    await partition.#apply(commands);
    return partition;
  }

  async append(bytes: number): Promise<void> {
    for (let left = Math.ceil(bytes / batchBytes); left > 0; left -= groupBatches) {
      const length = Math.min(left, groupBatches);
      await this.#apply(Array.from({ length }, (_, at) => this.#append(`s${at % streams}`)));
      if (this.#store.stats.dirtyBytes > 48 * mebibyte) await this.#store.flush();
    }
    await this.#store.flush();
  }

  #append(stream: string): Uint8Array {
    const value = this.#payloads.next('random', batchBytes);
    const payload = new ProtobufWriter().message(1, new ProtobufWriter().bytes(1, value)).finish();
    const batch = {
      codec: Codec.none,
      recordCount: 1,
      uncompressedBytes: payload.length,
      contentCrc: zlibCrc32(payload),
      payload,
    };
    const view = requireStream(this.#machine, stream);
    return encodeCommand(appendCommand(view, batch, {}, defaultStreamsLimits), { timeMs: ++this.#timeMs });
  }

  async #apply(commands: readonly Uint8Array[]): Promise<void> {
    const transaction = new ApplyTransaction(this.#store, crc32);
    for (const command of commands) {
      const lsn = asLsn(transaction.appliedLsn + 1);
      transaction.begin(lsn);
      this.#machine.apply(lsn, command, transaction);
      transaction.end();
    }
    await this.#store.write(transaction.finish());
    for (const _topic of this.#machine.publish());
  }

  async write(archive: PartitionArchive): Promise<WrittenSnapshot> {
    const state = await this.#store.snapshot();
    try {
      const facts = {
        lsn: state.appliedLsn,
        term: asTerm(1),
        confState: { voters: [asReplicaId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
        stateHash: state.stateHash,
        replicaId: asReplicaId(1),
        nodeId: asNodeId(1),
        softwareVersion: 'bench',
      };
      return await archive.write({ state, view: await this.#machine.logicalView(state), facts });
    } finally {
      await state.close();
    }
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/** Write all, append 10 MiB, write again, restore: everything on one disk, the repository too. */
async function snapshots({ node, payloads, seconds }: WorkloadContext): Promise<Figures> {
  const parent = path.dirname(node.dataDirectory);
  const directory = await mkdtemp(path.join(parent, 'snapshots-'));
  const compressor = new ZstdCompressor();
  try {
    const store = await FileObjectStore.open({
      directory: path.join(directory, 'repository'),
      disk: nodeDisk,
      clock,
      random,
    });
    const repository = await SnapshotRepository.open({ store, clock, crc32, compressor, random });
    const archive = repository.partition('bench', asPartitionId(1));
    const partition = await Partition.create(path.join(directory, 'source'), payloads);
    await partition.append(seconds * megabytesPerSecond * 1e6);

    const loop = startLoopDelay();
    const writing = performance.now();
    const first = await partition.write(archive);
    await archive.confirm(await archive.readBack(first.name), first.name);
    const writtenMs = performance.now() - writing;
    const writeDelayMs = loop.maxMs();
    await partition.append(laterBytes);
    const second = await partition.write(archive);
    await partition.close();

    loop.reset();
    const restoring = performance.now();
    await restoreSnapshot({
      source: archive,
      manifest: second.manifest,
      directory: path.join(directory, 'target'),
      disk: nodeDisk,
      storeProvider: new LevelDbProvider(nodeDisk),
      crc32,
      logicalView: (state) => new StreamsStateMachine({ producersCachedMax: 1 }).logicalView(state),
    });
    const restoredMs = performance.now() - restoring;
    const restoreDelayMs = loop.maxMs();
    loop.stop();
    const bytes = second.manifest.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
    return {
      writeMbPerSecond: (first.uploadedBytes + first.reusedBytes) / 1e3 / writtenMs,
      restoreMbPerSecond: bytes / 1e3 / restoredMs,
      laterUploadMb: second.uploadedBytes / 1e6,
      laterReusedMb: second.reusedBytes / 1e6,
      writeLoopDelayMsMax: writeDelayMs,
      restoreLoopDelayMsMax: restoreDelayMs,
      rssMb: process.memoryUsage().rss / 1e6,
    };
  } finally {
    await compressor.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

export const snapshotWorkloads: readonly Workload[] = [
  {
    name: 'snapshot',
    description:
      'a partition of 64 KiB incompressible batches archived, archived again after 10 MiB more, and restored',
    targets: [
      { figure: 'writeMbPerSecond', at: 'least', value: 100 },
      { figure: 'restoreMbPerSecond', at: 'least', value: 100 },
      { figure: 'laterUploadMb', at: 'most', value: (15 * mebibyte) / 1e6 },
    ],
    seconds: 10,
    run: snapshots,
  },
];
