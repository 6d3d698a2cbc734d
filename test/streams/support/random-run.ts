/** Random things that happen to the streams of a partition. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { retentionCommand, type StreamsCommand } from '../../../src/streams/index.js';
import { TestPartition } from './partition.js';

export interface RandomStep {
  readonly do: string;
  readonly name?: string;
  readonly records?: number;
  readonly producer?: boolean;
}

const names = ['a', 'b', 'c'] as const;
const step: fc.Arbitrary<RandomStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append'),
      name: fc.constantFrom(...names),
      records: fc.integer({ min: 1, max: 4 }),
      producer: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retain'), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete'), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart') }) },
);

export const randomSteps = (lengths: { minLength?: number; maxLength: number }): fc.Arbitrary<RandomStep[]> =>
  fc.array(step, lengths);

/** Appends, retention, deletions of streams, physical deletions and restarts on one partition in memory. */
export class RandomRun {
  readonly partition = new TestPartition();
  readonly numbers = new Map<string, number>();

  async step(action: RandomStep): Promise<void> {
    const { partition } = this;
    const name = action.name ?? '';
    partition.timeMs += 3;
    if (action.do === 'clear') return void (await partition.clear());
    if (action.do === 'restart') return partition.restart();
    if (partition.machine.streamByName(name) === undefined) {
      if (action.do !== 'append') return;
      const { epoch } = partition.create(name, { retentionAgeMs: 20, retentionBytes: 100 });
      this.numbers.set(name, 0);
      expect(epoch).toBeGreaterThan(0);
    }
    if (action.do === 'append') await this.append(name, action.records ?? 1, action.producer ?? false);
    else if (action.do === 'delete')
      partition.run({ type: 'delete-stream', streamId: partition.view(name).id } as StreamsCommand);
    else {
      const command = await retentionCommand(partition.store, partition.view(name), partition.timeMs);
      if (command !== undefined) partition.run(command);
    }
  }

  async append(name: string, records: number, withProducer: boolean): Promise<void> {
    const first = this.numbers.get(name) ?? 0;
    const texts = Array.from({ length: records }, (_, at) => `${name} ${first + at}`);
    await this.partition.append(
      name,
      texts,
      withProducer ? { producer: { id: 'p', epoch: 0, firstRecordNumber: first } } : {},
    );
    if (withProducer) this.numbers.set(name, first + records);
  }
}
