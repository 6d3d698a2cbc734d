/** gRPC connections by address: made at the first use, and made anew when one has failed for good. */
import { Client, connectivityState, credentials } from '@grpc/grpc-js';
import type { ChannelOptions } from '@grpc/grpc-js';

/**
 * A connection attempt of grpc-js has no time limit. When a peer goes away between accepting it and its first HTTP/2
 * frame, the attempt never ends, and the channel refuses every call from then on. A channel that has been failing for
 * this long is therefore given up for a new one; to a node that is really gone, that costs one more attempt.
 */
const failingMsMax = 1000;

interface Channel {
  readonly client: Client;
  readonly madeMs: number;
}

export class Channels {
  readonly #channels = new Map<string, Channel>();
  readonly #options: ChannelOptions;
  readonly #monotonicMs: () => number;

  constructor(options: ChannelOptions, monotonicMs: () => number) {
    this.#options = options;
    this.#monotonicMs = monotonicMs;
  }

  to(address: string): Client {
    const known = this.#channels.get(address);
    if (known !== undefined && !this.#isFailing(known)) return known.client;
    known?.client.close();
    const channel = {
      client: new Client(address, credentials.createInsecure(), this.#options),
      madeMs: this.#monotonicMs(),
    };
    this.#channels.set(address, channel);
    return channel.client;
  }

  close(): void {
    for (const { client } of this.#channels.values()) client.close();
    this.#channels.clear();
  }

  #isFailing({ client, madeMs }: Channel): boolean {
    if (this.#monotonicMs() - madeMs < failingMsMax) return false;
    return client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE;
  }
}
