/** gRPC connections by address: made at the first use, and made anew when one has failed for good. */
import { Client, connectivityState } from '@grpc/grpc-js';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';

/**
 * A connection attempt of grpc-js has no time limit: when a peer vanishes between accepting it and its first HTTP/2 frame,
 * the channel refuses every call from then on. A channel that calls have found without a connection for this long is
 * therefore given up for a new one; to a node that is really gone, that costs one more attempt.
 */
const unconnectedMsMax = 2000;

/**
 * grpc-js's words for a call that never got a connection, lost its channel while it waited for one, or was refused before the other
 * side looked at it (REFUSED_STREAM; RFC 9113, 8.7), as a node does with calls that cross its farewell.
 */
export const neverSent =
  /no connection established|name resolution failed|ECONNREFUSED|channel closed before call started|stream refused by server/i;

interface Channel {
  readonly client: Client;
  /** Of the first call that found no connection, since one did; undefined when the last call found one. */
  unconnectedSinceMs: number | undefined;
}

export class Channels {
  readonly #channels = new Map<string, Channel>();
  readonly #options: ChannelOptions;
  readonly #credentials: () => ChannelCredentials;
  readonly #monotonicMs: () => number;

  /** @param credentials asked for every connection that is made */
  constructor(options: ChannelOptions, credentials: () => ChannelCredentials, monotonicMs: () => number) {
    this.#options = options;
    this.#credentials = credentials;
    this.#monotonicMs = monotonicMs;
  }

  to(address: string): Client {
    const known = this.#channels.get(address);
    if (known !== undefined && !this.#isGivenUp(known)) return known.client;
    known?.client.close();
    const client = new Client(address, this.#credentials(), this.#options);
    this.#channels.set(address, { client, unconnectedSinceMs: undefined });
    return client;
  }

  /** The credentials have changed: further calls connect anew, those under way end where they are. */
  renew(): void {
    this.close();
  }

  close(): void {
    for (const { client } of this.#channels.values()) client.close();
    this.#channels.clear();
  }

  #isGivenUp(channel: Channel): boolean {
    const nowMs = this.#monotonicMs();
    if (channel.client.getChannel().getConnectivityState(false) === connectivityState.READY) {
      channel.unconnectedSinceMs = undefined;
      return false;
    }
    channel.unconnectedSinceMs ??= nowMs;
    return nowMs - channel.unconnectedSinceMs >= unconnectedMsMax;
  }
}
