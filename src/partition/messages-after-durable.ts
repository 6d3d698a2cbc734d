import type { Message, RaftOutput } from '../raft/types.js';

/** Promises about this replica's disk (votes, accepted appends) that wait for the sync they promise. */
export class MessagesAfterDurable {
  readonly #send: (messages: readonly Message[]) => void;
  /** In token order. */
  readonly #waiting: { readonly token: number; readonly messages: readonly Message[] }[] = [];
  #handedToken = 0;
  #durableToken = 0;
  #settledWaiters: (() => void)[] = [];

  constructor(send: (messages: readonly Message[]) => void) {
    this.#send = send;
  }

  /** Something goes to the WAL, under this token. */
  handedOver(token: number): void {
    this.#handedToken = token;
  }

  /** Resolves when all that was handed over is durable, or when nothing more will be. Nothing is handed over meanwhile. */
  async settled(): Promise<void> {
    if (this.#durableToken < this.#handedToken)
      await new Promise<void>((resolve) => this.#settledWaiters.push(resolve));
  }

  /** Nothing more becomes durable, as far as this replica is concerned. */
  end(): void {
    for (const resolve of this.#settledWaiters.splice(0)) resolve();
  }

  /** Sends what the output promises as soon as `durableAfter` is reported, which it may have been already. */
  send({ messagesAfterDurable: messages, durableAfter }: RaftOutput): void {
    if (messages.length === 0) return;
    if (durableAfter <= this.#durableToken) this.#send(messages);
    else this.#waiting.push({ token: durableAfter, messages });
  }

  /** The WAL synced everything up to the token. */
  durable(token: number): void {
    this.#durableToken = token;
    for (let next = this.#waiting[0]; next !== undefined && next.token <= token; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#send(next.messages);
    }
    if (token >= this.#handedToken) this.end();
  }
}
