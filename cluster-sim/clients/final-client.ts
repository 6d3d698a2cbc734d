/** The last client of a run: the cluster must serve it, and give back everything there is. */
import { LogboomError } from '../../src/base/errors.js';
import type { Page, ReadPageRequest, ReadStart } from '../../src/streams/index.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import type { StreamPlan } from '../plan.js';
import { Client, type ClientParts } from './client.js';
import { append, createStream, getStream, readPage } from './node-service.js';
import { encodeBatch, recordsOf, type ReadRecord } from './records.js';
import { Walk } from './readers.js';

export class FinalClient extends Client {
  readonly #nodes: readonly SimulatedNode[];
  /** What it is at, for the report. */
  progress = '';

  constructor(parts: ClientParts, nodes: readonly SimulatedNode[]) {
    super(parts);
    this.#nodes = nodes;
  }

  async serveAndReadBack(): Promise<void> {
    for (const [index, stream] of this.cluster.plan.streams.entries()) {
      this.progress = `an append to ${stream.name}`;
      await this.#insist(() => this.#append(index, stream));
      this.progress = `a full read-back of ${stream.name}`;
      await this.#readBack(index, stream, 'forward');
      if (index % 2 === 0) await this.#readBack(index, stream, 'backward');
    }
    this.progress = '';
  }

  protected work(): Promise<void> {
    return this.serveAndReadBack();
  }

  protected override anyNode(): number {
    return this.random.pick(this.#nodes).id;
  }

  async #append(index: number, stream: StreamPlan): Promise<void> {
    const view = await this.callLeader(stream, (serving) => getStream(serving, stream));
    if (view === undefined) {
      const create = this.history.invoke(this.id, index, { type: 'create' });
      const made = await this.callLeader(stream, (serving) =>
        createStream(serving, stream, (key) => create.commandKeys.push(key)),
      );
      this.history.returned(create, { type: 'created', epoch: made.epoch });
    }
    const values = [`final-${stream.name}-${this.random.nextUint32()}`];
    this.books.issued(values);
    const call = { type: 'append', count: 1, expectedNextSeq: undefined, expectedEpoch: undefined } as const;
    const operation = this.history.invoke(this.id, index, call);
    const batch = encodeBatch(values, false);
    const result = await this.callLeader(stream, (serving) =>
      append(serving, stream, batch, {}, (key) => operation.commandKeys.push(key)),
    );
    this.history.returned(operation, { type: 'appended', epoch: result.streamEpoch, firstSeq: result.firstSeq });
    this.books.acknowledged(index, result.streamEpoch, result.firstSeq, values);
  }

  /** Walks the whole stream; retention may go on meanwhile, then the walk begins anew. */
  async #readBack(index: number, stream: StreamPlan, direction: 'forward' | 'backward'): Promise<void> {
    for (;;) {
      const records: ReadRecord[] = [];
      const walk = new Walk(direction);
      let start: ReadStart = { type: 'edge' };
      let firstSeq: number | undefined;
      for (;;) {
        const request: ReadPageRequest = { start, direction, limit: 1000, acceptCodecs: [0, 1] };
        const page: Page | undefined = await this.#insist(() =>
          this.call(this.anyNode(), (serving) => readPage(serving, stream, request)),
        ).catch(trimmedOnly);
        if (page === undefined) break;
        const found = recordsOf(page.slices);
        this.books.read(index, page.stream.epoch, found);
        const problem = walk.take(page, found);
        if (problem !== undefined) {
          this.cluster.verdict.broken(
            'page-walks-return-each-record-once',
            `final ${direction} walk over ${stream.name}: ${problem}`,
          );
        }
        records.push(...found);
        firstSeq ??= page.stream.firstSeq;
        start = { type: 'token', token: page.nextPageToken };
        if (page.end !== 'stream') continue;
        if (page.stream.firstSeq !== firstSeq) break;
        this.books.readBack(index, page.stream, records);
        return;
      }
    }
  }

  /** Tries until it is served; errors that no client should ever see end the run. */
  async #insist<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof LogboomError && error.reason === 'RECORD_TRIMMED') throw error;
        if (!this.isExpected(error)) {
          this.cluster.verdict.broken('clients-are-answered-as-documented', `final read-back: ${String(error)}`);
          throw error;
        }
        await this.pause(200);
      }
    }
  }
}

function trimmedOnly(error: unknown): undefined {
  if (error instanceof LogboomError && error.reason === 'RECORD_TRIMMED') return undefined;
  throw error;
}
