/**
 * Linearizability of a history, by the algorithm of Wing and Gong with Lowe's improvements ("Testing for
 * linearizability", 2017): operations are linearized one after another, undone when that leads nowhere, and a pair of
 * (operations linearized, state) that was reached before is not searched again.
 */

export interface SequentialModel<Call, Outcome, State> {
  readonly initial: State;
  /** The state after the call answered so; undefined when it cannot answer so in this state. Without outcome, any answer will do. */
  step(state: State, call: Call, outcome: Outcome | undefined): State | undefined;
  /** Equal for equal states, and only for those. */
  key(state: State): string;
}

export interface Operation<Call, Outcome> {
  readonly call: Call;
  /** Undefined for an open operation. */
  readonly outcome: Outcome | undefined;
  readonly invokedAt: number;
  /** Undefined for an open operation: it may take effect at any later time, or never. */
  readonly returnedAt: number | undefined;
}

export type LinearizabilityAnswer<Call, Outcome> =
  | { readonly type: 'linearizable'; readonly steps: number }
  /** `stuckAt`: in the longest prefix that could be linearized, the operation whose return could not be passed. */
  | { readonly type: 'violated'; readonly stuckAt: Operation<Call, Outcome>; readonly steps: number }
  /** The limit of steps was reached first. */
  | { readonly type: 'undecided'; readonly steps: number };

/** An invocation or a return, in a doubly linked list from which linearized operations are lifted. */
interface Moment<Call, Outcome> {
  readonly operation: Operation<Call, Outcome>;
  readonly number: number;
  readonly isReturn: boolean;
  readonly at: number;
  match: Moment<Call, Outcome> | undefined;
  previous: Moment<Call, Outcome> | undefined;
  next: Moment<Call, Outcome> | undefined;
}

interface Frame<Call, Outcome, State> {
  readonly invocation: Moment<Call, Outcome>;
  readonly stateBefore: State;
}

const stepsMaxDefault = 5_000_000;

/** @param operations of one object; objects are checked one by one, which is as strict (Herlihy and Wing, locality) and far cheaper */
export function checkLinearizable<Call, Outcome, State>(
  model: SequentialModel<Call, Outcome, State>,
  operations: readonly Operation<Call, Outcome>[],
  stepsMax = stepsMaxDefault,
): LinearizabilityAnswer<Call, Outcome> {
  const head = linkedMoments(operations);
  const reached = new Set<string>();
  const linearized = new LinearizedSet();
  const stack: Frame<Call, Outcome, State>[] = [];
  let returnsLeft = operations.filter(({ returnedAt }) => returnedAt !== undefined).length;
  let state = model.initial;
  let furthest = head.next;
  let at = head.next;
  let steps = 0;
  while (returnsLeft > 0) {
    steps += 1;
    if (steps > stepsMax) return { type: 'undecided', steps };
    if (at !== undefined && !at.isReturn) {
      const after = model.step(state, at.operation.call, at.operation.outcome);
      if (after !== undefined) {
        linearized.toggle(at.number);
        const key = `${linearized.digest}|${model.key(after)}`;
        if (!reached.has(key)) {
          reached.add(key);
          stack.push({ invocation: at, stateBefore: state });
          state = after;
          if (at.match !== undefined) returnsLeft -= 1;
          lift(at);
          at = head.next;
          continue;
        }
        linearized.toggle(at.number);
      }
      at = at.next;
      continue;
    }
    // A return that cannot be passed, or the end of the list: what was linearized last was wrong.
    if (at !== undefined && (furthest === undefined || at.at >= furthest.at)) furthest = at;
    const frame = stack.pop();
    if (frame === undefined) {
      return { type: 'violated', stuckAt: (furthest ?? head).operation, steps };
    }
    const { invocation } = frame;
    state = frame.stateBefore;
    linearized.toggle(invocation.number);
    if (invocation.match !== undefined) returnsLeft += 1;
    unlift(invocation);
    at = invocation.next;
  }
  return { type: 'linearizable', steps };
}

function linkedMoments<Call, Outcome>(operations: readonly Operation<Call, Outcome>[]): Moment<Call, Outcome> {
  const moments: Moment<Call, Outcome>[] = [];
  operations.forEach((operation, number) => {
    const invocation = momentOf(operation, number, operation.invokedAt, undefined);
    moments.push(invocation);
    if (operation.returnedAt === undefined) return;
    invocation.match = momentOf(operation, number, operation.returnedAt, invocation);
    moments.push(invocation.match);
  });
  // At equal times an invocation comes first: operations that touch are concurrent.
  moments.sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn) || a.number - b.number);
  const head = { isReturn: false, at: Number.NEGATIVE_INFINITY, number: -1 } as Moment<Call, Outcome>;
  let last = head;
  for (const moment of moments) {
    last.next = moment;
    moment.previous = last;
    last = moment;
  }
  return head;
}

/** Of one shape, invocations and returns: nothing else is made as often, or read as often, by a check. */
function momentOf<Call, Outcome>(
  operation: Operation<Call, Outcome>,
  number: number,
  at: number,
  invocation: Moment<Call, Outcome> | undefined,
): Moment<Call, Outcome> {
  const isReturn = invocation !== undefined;
  return { operation, number, isReturn, at, match: invocation, previous: undefined, next: undefined };
}

function lift<Call, Outcome>(invocation: Moment<Call, Outcome>): void {
  unlink(invocation);
  if (invocation.match !== undefined) unlink(invocation.match);
}

function unlift<Call, Outcome>(invocation: Moment<Call, Outcome>): void {
  if (invocation.match !== undefined) relink(invocation.match);
  relink(invocation);
}

function unlink<Call, Outcome>(moment: Moment<Call, Outcome>): void {
  if (moment.previous !== undefined) moment.previous.next = moment.next;
  if (moment.next !== undefined) moment.next.previous = moment.previous;
}

function relink<Call, Outcome>(moment: Moment<Call, Outcome>): void {
  if (moment.previous !== undefined) moment.previous.next = moment;
  if (moment.next !== undefined) moment.next.previous = moment;
}

/**
 * A set of operation numbers by its digest: the exclusive or of two 32-bit numbers an operation. Two different sets of
 * one history have the same digest with a probability of 2^-64; bit sets, exact, would make long histories quadratic.
 */
class LinearizedSet {
  #low = 0;
  #high = 0;

  toggle(number: number): void {
    this.#low ^= scramble(number + 1);
    this.#high ^= scramble(number + 0x5bd1e995);
  }

  get digest(): string {
    return `${this.#low}:${this.#high}`;
  }
}

/** The finalizer of MurmurHash3. */
function scramble(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
