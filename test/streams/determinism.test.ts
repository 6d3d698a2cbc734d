/** Equal entries give equal effects, results and content, however they are grouped and wherever a restart falls. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { asLsn } from '../../src/base/ids.js';
import { encodeCommand, nextPhysicalDeletion, StreamsStateMachine } from '../../src/streams/index.js';
import type { StreamsCommand, StreamsResult } from '../../src/streams/index.js';
import { Keyspace } from '../../src/streams/keys.js';
import { MemoryStore, MemoryTransaction } from './support/memory-store.js';

/** Streams are addressed by id, which is an LSN: small numbers hit streams that exist. */
const streamId = fc.constantFrom(1, 1, 1, 1, 2, 2, 3, 4, 5, 7, 9);
const small = fc.nat({ max: 6 });
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const token = fc.constantFrom('', 'f');

const command: fc.Arbitrary<StreamsCommand> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('create-stream' as const),
      name: fc.constantFrom('a', 'b', 'c'),
      epoch: fc.nat(),
      config: fc.record({ retentionAgeMs: small, retentionBytes: small }),
      fencingToken: fc.constantFrom('', '', '', 'f'),
      ifNotExists: fc.boolean(),
      streamsMax: fc.constantFrom(2, 9),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('update-stream' as const),
      streamId,
      retentionAgeMs: rarely(small),
      retentionBytes: rarely(small),
      fencingToken: rarely(fc.constantFrom('', '', 'f')),
      expectedFencingToken: rarely(token),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('delete-stream' as const),
      streamId,
      expectedEpoch: fc.constant(undefined),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('append' as const),
      streamId,
      codec: fc.constantFrom(0 as const, 1 as const),
      recordCount: fc.constantFrom(2, 2, 2, 2, 1, 3),
      uncompressedBytes: fc.constantFrom(5, 5, 5, 6),
      contentCrc: fc.constantFrom(1, 1, 1, 2),
      producer: fc.option(
        fc.record({
          id: fc.constantFrom('p', 'p', 'q', 'r'),
          epoch: fc.constantFrom(1, 1, 1, 1, 2),
          firstRecordNumber: fc.constantFrom(0, 0, 2, 2, 4, 6, 1),
        }),
        { nil: undefined },
      ),
      producersMax: fc.constantFrom(1, 9, 9),
      expectedNextSeq: rarely(small),
      fencingToken: rarely(token),
      expectedEpoch: fc.constant(undefined),
      payload: fc.constantFrom(Uint8Array.from([1, 2, 3, 4, 5])),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('set-first-seq' as const), streamId, firstSeq: fc.nat({ max: 12 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('drop-producers' as const),
      streamId,
      producerIds: fc.subarray(['p', 'q', 'r', 'unknown']),
      idleMs: fc.constantFrom(0, 10),
    }),
  },
);

/** The first three entries, so that the ids 1 to 3 mean something. */
const streams = ['a', 'b', 'c'].map((name): [StreamsCommand, number] => [
  {
    type: 'create-stream',
    name,
    epoch: 1,
    config: { retentionAgeMs: 0, retentionBytes: 0 },
    fencingToken: '',
    ifNotExists: false,
    streamsMax: 9,
  },
  0,
]);

/** Where groups end, where restarts and physical deletions happen, and how much is cached. */
interface Schedule {
  readonly groups: readonly number[];
  readonly restarts: readonly boolean[];
  readonly clears: readonly boolean[];
  readonly cached: number;
}

const schedule: fc.Arbitrary<Schedule> = fc.record({
  groups: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }),
  restarts: fc.array(fc.boolean(), { minLength: 1 }),
  clears: fc.array(fc.boolean(), { minLength: 1 }),
  cached: fc.integer({ min: 1, max: 3 }),
});

interface Outcome {
  readonly results: StreamsResult[];
  readonly effects: string[];
  readonly views: unknown[];
  readonly store: MemoryStore;
  readonly clear: () => Promise<void>;
}

async function run(entries: readonly Uint8Array[], { groups, restarts, clears, cached }: Schedule): Promise<Outcome> {
  const store = new MemoryStore();
  let machine = new StreamsStateMachine({ producersCachedMax: cached });
  const outcome: Outcome = { results: [], effects: [], views: [], store, clear: () => clearAll(machine, store) };
  for (let from = 0, group = 0; from < entries.length; group++) {
    const transaction = new MemoryTransaction(store);
    const to = Math.min(entries.length, from + groups[group % groups.length]!);
    for (; from < to; from++) {
      transaction.lsn = asLsn(from + 1);
      outcome.results.push(machine.apply(transaction.lsn, entries[from]!, transaction));
    }
    transaction.commit();
    outcome.effects.push(...transaction.effects);
    for (const _topic of machine.publish());
    if (clears[group % clears.length]!) await clearAll(machine, store);
    if (restarts[group % restarts.length]!) {
      machine = new StreamsStateMachine({ producersCachedMax: cached });
      await machine.load(store);
    }
  }
  outcome.views.push(...[...machine.streams()].sort((a, b) => a.id - b.id));
  return outcome;
}

async function clearAll(machine: StreamsStateMachine, store: MemoryStore): Promise<void> {
  for (;;) {
    const step = await nextPhysicalDeletion(machine, store, { persistedLsn: store.appliedLsn, batchesMax: 2 });
    if (step === undefined) return;
    store.deletePhysically(step.deletion);
    step.done();
  }
}

const atOnce: Schedule = { groups: [1_000_000], restarts: [false], clears: [false], cached: 100 };

describe('the state machine', () => {
  test('is deterministic', async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(command, fc.nat({ max: 40 })), { minLength: 20, maxLength: 120, size: 'max' }),
        schedule,
        async (commands, other) => {
          const entries = [...streams, ...commands].map(([one, timeMs]) => encodeCommand(one, { timeMs }));
          const expected = await run(entries, atOnce);
          const actual = await run(entries, other);
          expect(actual.results).toEqual(expected.results);
          expect(actual.effects).toEqual(expected.effects);
          expect(actual.views).toEqual(expected.views);
          // After all physical deletion nothing is left that differs.
          await expected.clear();
          await actual.clear();
          expect(actual.store.dump([Keyspace.cleared])).toEqual(expected.store.dump([Keyspace.cleared]));
          expect([...actual.store.records.keys()]).toEqual([...expected.store.records.keys()]);
          for (const result of expected.results) {
            const kind =
              result.type === 'refused'
                ? result.reason
                : result.type === 'appended' && result.repeated
                  ? 'repeated'
                  : result.type;
            seen.set(kind, (seen.get(kind) ?? 0) + 1);
          }
        },
      ),
      { numRuns: 400 },
    );
    for (const kind of [
      'appended',
      'repeated',
      'stream-created',
      'stream-updated',
      'stream-deleted',
      'first-seq-set',
      'producers-dropped',
      'STREAM_NOT_FOUND',
      'STREAM_ALREADY_EXISTS',
      'STREAM_LIMIT_REACHED',
      'FENCING_TOKEN_MISMATCH',
      'SEQ_MISMATCH',
      'PRODUCER_GAP',
      'PRODUCER_OVERLAP',
      'PRODUCER_CONFLICT',
      'PRODUCER_FENCED',
      'PRODUCER_LIMIT_REACHED',
      'INVALID_ARGUMENT',
    ])
      expect(`${kind} ${(seen.get(kind) ?? 0) > 0}`).toBe(`${kind} true`);
  });

  test('what is left after deletion of all streams is the entry time alone', async () => {
    const create = {
      type: 'create-stream',
      name: 'a',
      epoch: 1,
      config: { retentionAgeMs: 0, retentionBytes: 0 },
      fencingToken: '',
      ifNotExists: false,
      streamsMax: 9,
    } as const;
    const append = {
      type: 'append',
      streamId: 1,
      codec: 0,
      recordCount: 1,
      uncompressedBytes: 1,
      contentCrc: 1,
      producersMax: 9,
      expectedNextSeq: undefined,
      fencingToken: undefined,
      expectedEpoch: undefined,
      payload: Uint8Array.from([1]),
    } as const;
    const commands: StreamsCommand[] = [create];
    for (let number = 0; number < 9; number++) {
      commands.push({
        ...append,
        producer: { id: `p${number % 4}`, epoch: 1, firstRecordNumber: Math.floor(number / 4) },
      });
    }
    commands.push(
      { type: 'set-first-seq', streamId: 1, firstSeq: 4 },
      { type: 'delete-stream', streamId: 1, expectedEpoch: undefined },
    );
    for (const clears of [[true], [false]]) {
      const outcome = await run(
        commands.map((one) => encodeCommand(one, { timeMs: 5 })),
        { ...atOnce, groups: [1], clears },
      );
      await outcome.clear();
      expect(outcome.store.dump()).toEqual(['10=010000000000000005']);
      expect(outcome.store.records.size).toBe(0);
    }
  });

  test('refuses to apply an entry twice', () => {
    const machine = new StreamsStateMachine();
    const transaction = new MemoryTransaction(new MemoryStore());
    const entry = encodeCommand({ type: 'set-first-seq', streamId: 1, firstSeq: 1 }, { timeMs: 1 });
    machine.apply(asLsn(3), entry, transaction);
    expect(() => machine.apply(asLsn(3), entry, transaction)).toThrow(InvariantViolation);
  });
});
