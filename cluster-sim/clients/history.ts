/** What clients asked for and what they were told, in the order of asking and telling. */

export type StreamCall =
  | {
      readonly type: 'append';
      readonly count: number;
      readonly expectedNextSeq: number | undefined;
      readonly expectedEpoch: number | undefined;
    }
  | { readonly type: 'get' }
  | { readonly type: 'create' }
  | { readonly type: 'delete' };

export type StreamOutcome =
  | { readonly type: 'appended'; readonly epoch: number; readonly firstSeq: number }
  /** A conditional append found another end. */
  | { readonly type: 'seq-mismatch'; readonly nextSeq: number }
  | { readonly type: 'found'; readonly epoch: number; readonly nextSeq: number }
  | { readonly type: 'absent' }
  | { readonly type: 'created'; readonly epoch: number }
  | { readonly type: 'deleted' };

export interface StreamOperation {
  readonly client: number;
  /** Index of the stream in the plan. */
  readonly stream: number;
  readonly call: StreamCall;
  readonly invokedMs: number;
  /** Places in the order of all invocations and returns. */
  readonly invokedAt: number;
  returnedAt: number | undefined;
  returnedMs: number | undefined;
  /** Undefined while the operation is open: it may have taken effect, may yet, or never will. */
  outcome: StreamOutcome | undefined;
  /** Known to have had no effect: nothing of it is checked. */
  withoutEffect: boolean;
  /** Of the commands proposed for it. */
  readonly commandKeys: number[];
}

export class History {
  readonly operations: StreamOperation[] = [];
  readonly #nowMs: () => number;
  #order = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  invoke(client: number, stream: number, call: StreamCall): StreamOperation {
    const operation: StreamOperation = {
      client,
      stream,
      call,
      invokedMs: this.#nowMs(),
      invokedAt: this.#next(),
      returnedAt: undefined,
      returnedMs: undefined,
      outcome: undefined,
      withoutEffect: false,
      commandKeys: [],
    };
    this.operations.push(operation);
    return operation;
  }

  returned(operation: StreamOperation, outcome: StreamOutcome): void {
    operation.outcome = outcome;
    operation.returnedAt = this.#next();
    operation.returnedMs = this.#nowMs();
  }

  refused(operation: StreamOperation): void {
    operation.withoutEffect = true;
    operation.returnedAt = this.#next();
    operation.returnedMs = this.#nowMs();
  }

  #next(): number {
    this.#order += 1;
    return this.#order;
  }
}
