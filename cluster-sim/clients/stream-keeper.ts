/** Makes the streams of the plan, and deletes and makes again those that may be. */
import { isLogboomError } from '../../src/base/errors.js';
import type { StreamPlan } from '../plan.js';
import { Client, type ClientParts } from './client.js';
import { createStream, deleteStream } from './node-service.js';

export class StreamKeeper extends Client {
  readonly #toCreate: number[];

  constructor(parts: ClientParts) {
    super(parts);
    this.#toCreate = parts.cluster.plan.streams.map((_, index) => index);
  }

  protected async work(): Promise<void> {
    const { plan, streamsToDelete } = this.cluster;
    const index = this.#toCreate[0] ?? streamsToDelete[0];
    const stream = index === undefined ? undefined : plan.streams[index];
    if (index === undefined || stream === undefined) return this.cluster.world.sleep(500);
    if (this.#toCreate.length > 0) {
      await this.#create(index, stream);
      this.#toCreate.shift();
    } else {
      streamsToDelete.shift();
      await this.#delete(index, stream);
      await this.pause(500);
      this.#toCreate.push(index);
    }
  }

  async #create(index: number, stream: StreamPlan): Promise<void> {
    const operation = this.history.invoke(this.id, index, { type: 'create' });
    try {
      const view = await this.callLeader(stream, (serving) =>
        createStream(serving, stream, (key) => operation.commandKeys.push(key)),
      );
      this.history.returned(operation, { type: 'created', epoch: view.epoch });
    } catch (error) {
      if (this.hadNoEffect(error)) this.history.refused(operation);
      throw error;
    }
  }

  /** Tried once: whether it was done when the answer is lost, the history tells. */
  async #delete(index: number, stream: StreamPlan): Promise<void> {
    const operation = this.history.invoke(this.id, index, { type: 'delete' });
    try {
      await this.callLeader(stream, (serving) =>
        deleteStream(serving, stream, (key) => operation.commandKeys.push(key)),
      );
      this.history.returned(operation, { type: 'deleted' });
      this.cluster.count('streams deleted');
    } catch (error) {
      if (this.hadNoEffect(error)) this.history.refused(operation);
      if (!this.isExpected(error) || isLogboomError(error, 'INTERNAL')) throw error;
    }
  }
}
