/** A client that is there when something changes: at elections. */
import { Client } from './client.js';
import { append, getStream } from './node-service.js';
import { encodeBatch } from './records.js';

const rounds = 6;

/**
 * Looks where stale reads come from. It appends to each new leader as soon as that can serve, and reads at every node
 * that takes itself for the leader, also those that do so no longer with reason: a read there may only answer what is
 * newest, or not at all.
 */
export class ElectionProbe extends Client {
  #issued = 0;

  protected async work(): Promise<void> {
    const { partition, node } = await this.cluster.nextElection();
    const reads = this.#readAtLeaders(partition);
    await this.#appendAt(node, partition).catch((error: unknown) => {
      if (!this.isExpected(error)) throw error;
    });
    await reads;
  }

  async #readAtLeaders(partition: number): Promise<void> {
    for (let round = 0; round < rounds && this.isRunning; round += 1) {
      await this.cluster.world.sleep(this.random.exponential(round === 0 ? 1 : 60));
      const leaders = this.cluster.nodes.filter(
        (node) => this.cluster.checker.record(partition, node.replicaIdIn(partition))?.isLeader === true,
      );
      await Promise.all(leaders.map((node) => this.#readAt(node.id, partition)));
    }
  }

  async #appendAt(nodeId: number, partition: number): Promise<void> {
    const [index, stream] = this.#anyStream(partition);
    this.#issued += 1;
    const values = [`${this.kind}-${this.id}-${this.#issued}`];
    this.books.issued(values);
    const operation = this.history.invoke(this.id, index, {
      type: 'append',
      count: 1,
      expectedNextSeq: undefined,
      expectedEpoch: undefined,
    });
    try {
      const result = await this.call(nodeId, (serving) =>
        append(serving, stream, encodeBatch(values, false), {}, (key) => operation.commandKeys.push(key)),
      );
      this.history.returned(operation, { type: 'appended', epoch: result.streamEpoch, firstSeq: result.firstSeq });
      this.books.acknowledged(index, result.streamEpoch, result.firstSeq, values);
    } catch (error) {
      if (this.hadNoEffect(error)) this.history.refused(operation);
      throw error;
    }
  }

  async #readAt(nodeId: number, partition: number): Promise<void> {
    const [index, stream] = this.#anyStream(partition);
    const operation = this.history.invoke(this.id, index, { type: 'get' });
    const floor = this.books.floor(index);
    try {
      const view = await this.call(nodeId, (serving) => getStream(serving, stream));
      this.cluster.count('reads of leaders after elections');
      if (view === undefined) return this.history.returned(operation, { type: 'absent' });
      this.history.returned(operation, { type: 'found', epoch: view.epoch, nextSeq: view.nextSeq });
      this.books.viewed(index, view, floor);
    } catch (error) {
      this.history.refused(operation);
      if (!this.isExpected(error)) throw error;
    }
  }

  #anyStream(partition: number) {
    return this.random.pick(
      [...this.cluster.plan.streams.entries()].filter(([, stream]) => stream.partition === partition),
    );
  }
}
