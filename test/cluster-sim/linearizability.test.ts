import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkLinearizable, type Operation, type SequentialModel } from '../../cluster-sim/checkers/linearizability.js';
import { checkStream } from '../../cluster-sim/checkers/stream-model.js';
import type { StreamCall, StreamOperation, StreamOutcome } from '../../cluster-sim/clients/history.js';

/** A register: writes answer nothing, reads what was written last. */
type RegisterCall = { readonly write: number } | 'read';
const register: SequentialModel<RegisterCall, number, number> = {
  initial: 0,
  key: String,
  step: (state, call, outcome) => {
    if (call !== 'read') return call.write;
    return outcome === undefined || outcome === state ? state : undefined;
  },
};

function op(
  call: RegisterCall,
  outcome: number | undefined,
  invokedAt: number,
  returnedAt?: number,
): Operation<RegisterCall, number> {
  return { call, outcome, invokedAt, returnedAt };
}

describe('histories of a register', () => {
  const good: Record<string, Operation<RegisterCall, number>[]> = {
    'none at all': [],
    'one after another': [op({ write: 1 }, 0, 1, 2), op('read', 1, 3, 4)],
    'a read beside a write sees the old value': [op({ write: 1 }, 0, 1, 4), op('read', 0, 2, 3)],
    'a read beside a write sees the new value': [op({ write: 1 }, 0, 1, 4), op('read', 1, 2, 3)],
    'an open write that was seen': [op({ write: 1 }, undefined, 1), op('read', 1, 2, 3)],
    'an open write that was never seen': [op({ write: 1 }, undefined, 1), op('read', 0, 2, 3), op('read', 0, 4, 5)],
    'an open write that takes effect late': [op({ write: 1 }, undefined, 1), op('read', 0, 2, 3), op('read', 1, 4, 5)],
    'two writes in the order that the reads tell': [
      op({ write: 1 }, 0, 1, 10),
      op({ write: 2 }, 0, 1, 10),
      op('read', 2, 2, 3),
      op('read', 1, 4, 5),
    ],
  };
  const bad: Record<string, Operation<RegisterCall, number>[]> = {
    'a stale read': [op({ write: 1 }, 0, 1, 2), op('read', 0, 3, 4)],
    'a value from nowhere': [op('read', 7, 1, 2)],
    'new, then old again': [op({ write: 1 }, 0, 1, 10), op('read', 1, 2, 3), op('read', 0, 4, 5)],
    'a value before anybody wrote it': [op('read', 1, 1, 2), op({ write: 1 }, 0, 3, 4)],
    'two readers that disagree about an order': [
      op({ write: 1 }, 0, 1, 20),
      op({ write: 2 }, 0, 1, 20),
      op('read', 1, 2, 3),
      op('read', 2, 4, 5),
      op('read', 1, 6, 7),
    ],
  };

  test.each(Object.entries(good))('good: %s', (_, operations) => {
    expect(checkLinearizable(register, operations).type).toBe('linearizable');
  });

  test.each(Object.entries(bad))('bad: %s', (_, operations) => {
    expect(checkLinearizable(register, operations).type).toBe('violated');
  });

  test('agrees with trying every order', () => {
    const operation = fc.record({
      isWrite: fc.boolean(),
      value: fc.integer({ min: 0, max: 2 }),
      invokedAt: fc.integer({ min: 0, max: 20 }),
      lasts: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 6 }), (drawn) => {
        const operations = drawn.map(({ isWrite, value, invokedAt, lasts }) =>
          op(
            isWrite ? { write: value } : 'read',
            lasts === undefined ? undefined : isWrite ? 0 : value,
            invokedAt,
            lasts === undefined ? undefined : invokedAt + lasts,
          ),
        );
        expect(checkLinearizable(register, operations).type === 'linearizable').toBe(someOrderFits(operations, 0));
      }),
      { numRuns: 2000 },
    );
  });

  test('a limit of steps is answered as undecided, never as passed', () => {
    const operations = Array.from({ length: 12 }, (_, index) => op({ write: index }, 0, 1, 100));
    operations.push(op('read', 99, 101, 102));
    expect(checkLinearizable(register, operations, 50).type).toBe('undecided');
  });
});

/** The definition itself: some order respects real time and explains every answer. Open operations may be left out. */
function someOrderFits(left: readonly Operation<RegisterCall, number>[], state: number): boolean {
  if (left.every(({ returnedAt }) => returnedAt === undefined)) return true;
  const earliestReturn = Math.min(...left.map(({ returnedAt }) => returnedAt ?? Number.POSITIVE_INFINITY));
  return left.some((candidate) => {
    if (candidate.invokedAt > earliestReturn) return false;
    const after = register.step(state, candidate.call, candidate.outcome);
    return (
      after !== undefined &&
      someOrderFits(
        left.filter((other) => other !== candidate),
        after,
      )
    );
  });
}

describe('histories of a stream', () => {
  let clock = 0;
  const at = (call: StreamCall, outcome: StreamOutcome | undefined): StreamOperation => {
    clock += 2;
    const returnedAt = outcome === undefined ? undefined : clock + 1;
    return {
      client: 1,
      stream: 0,
      call,
      outcome,
      invokedAt: clock,
      returnedAt,
      invokedMs: clock,
      returnedMs: returnedAt,
      withoutEffect: false,
      commandKeys: [],
    };
  };
  const append = (count: number, firstSeq: number | undefined, expectedNextSeq?: number): StreamOperation =>
    at(
      { type: 'append', count, expectedNextSeq, expectedEpoch: undefined },
      firstSeq === undefined ? undefined : { type: 'appended', epoch: 5, firstSeq },
    );
  const created = (): StreamOperation => at({ type: 'create' }, { type: 'created', epoch: 5 });
  const ends = (nextSeq: number): StreamOperation => at({ type: 'get' }, { type: 'found', epoch: 5, nextSeq });

  test.each<[string, () => StreamOperation[]]>([
    ['positions one after another', () => [created(), append(2, 0), append(1, 2), ends(3)]],
    ['an append without answer that took effect', () => [created(), append(2, undefined), append(1, 2), ends(3)]],
    ['an append without answer that did not', () => [created(), append(2, undefined), append(1, 0), ends(1)]],
    ['a condition that fits', () => [created(), append(1, 0), append(1, 1, 1)]],
    [
      'a condition that is refused with the end',
      () => [
        created(),
        append(3, 0),
        at(
          { type: 'append', count: 1, expectedNextSeq: 1, expectedEpoch: undefined },
          { type: 'seq-mismatch', nextSeq: 3 },
        ),
      ],
    ],
    [
      'deleted and made again',
      () => [
        created(),
        append(1, 0),
        at({ type: 'delete' }, { type: 'deleted' }),
        at({ type: 'get' }, { type: 'absent' }),
        at({ type: 'create' }, { type: 'created', epoch: 6 }),
      ],
    ],
  ])('good: %s', (_, history) => {
    expect(checkStream(history()).type).toBe('linearizable');
  });

  test.each<[string, () => StreamOperation[]]>([
    ['a position given twice', () => [created(), append(2, 0), append(1, 0)]],
    ['a gap', () => [created(), append(1, 0), append(1, 2)]],
    ['a read of an older end', () => [created(), append(2, 0), ends(1)]],
    ['an acknowledged append that is gone', () => [created(), append(1, 0), append(1, 1), ends(1)]],
    ['a condition that did not fit', () => [created(), append(2, 0), append(1, 2, 1)]],
    [
      'a refusal that names another end',
      () => [
        created(),
        append(3, 0),
        at(
          { type: 'append', count: 1, expectedNextSeq: 1, expectedEpoch: undefined },
          { type: 'seq-mismatch', nextSeq: 2 },
        ),
      ],
    ],
    [
      'another epoch without a deletion',
      () => [created(), at({ type: 'get' }, { type: 'found', epoch: 6, nextSeq: 0 })],
    ],
  ])('bad: %s', (_, history) => {
    expect(checkStream(history()).type).toBe('violated');
  });
});
