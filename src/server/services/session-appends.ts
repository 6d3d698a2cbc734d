/** Between a session and what carries out its appends. */

/** The place of an append in the order in which a session sent its appends. */
export interface AppendTurn {
  /** Settles when all appends before it were proposed or refused. */
  readonly previous: Promise<void>;
  /** To be called once, when this one was proposed or refused. */
  readonly done: () => void;
}

/** One message of a session. */
export interface SessionRequest {
  /** As it came. */
  readonly message: Buffer;
  /** The varint of the message. */
  readonly requestId: Uint8Array;
  /** An encoded AppendRequest. */
  readonly append: Uint8Array;
}

/** What carries out the appends of one session. */
export interface SessionAppends {
  /** The encoded response; never rejects. Proposes after `turn.previous`, and calls `turn.done` when it has or never will. */
  answer(request: SessionRequest, signal: AbortSignal, turn: AppendTurn): Promise<Buffer>;
  /** The session has ended. */
  close(): void;
}
