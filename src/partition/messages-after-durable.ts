import type { Message, RaftOutput } from '../raft/types.js';

/** Promises about this replica's disk (votes, accepted appends) that wait for the sync they promise. */
export class MessagesAfterDurable {
  readonly #send: (messages: readonly Message[]) => void;
  /** In token order. */
  readonly #waiting: { readonly token: number; readonly messages: readonly Message[] }[] = [];
  #durableToken = 0;

  constructor(send: (messages: readonly Message[]) => void) {
    this.#send = send;
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
  }
}
