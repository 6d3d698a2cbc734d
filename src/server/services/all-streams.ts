/** ListStreams over all partitions of the cluster: of those that have no replica here, nodes that lead them are asked. */
import { status as grpcStatus } from '@grpc/grpc-js';
import { callerOf } from '../rpc/definitions.js';
import { isForwarded } from '../forwarding/forwarding.js';
import { authorizationOf, unaryCall } from '../forwarding/remote-calls.js';
import { readLimits } from '../../streams/index.js';
import { streamsPageToken } from './list-streams.js';
import type { PartitionId } from '../../base/ids.js';
import type { Crc32 } from '../../base/ports/environment.js';
import type { Leaders, RemoteNode } from '../forwarding/leaders.js';
import type { RemoteCalls } from '../forwarding/remote-calls.js';
import type { CallContext, UnaryMethod } from '../rpc/calls.js';
import type { ListStreamsRequest } from './list-streams.js';

/** As in the answer; only the name is looked at here. */
export interface ListedStream {
  readonly name: string;
  readonly [field: string]: unknown;
}

export interface StreamsPage {
  readonly streams: readonly ListedStream[];
  /** Empty after the last page. */
  readonly nextPageToken: string;
}

export interface AllStreamsParts {
  readonly crc32: Crc32;
  readonly leaders: Leaders;
  readonly remote: RemoteCalls;
  /** Of streams, without a replica here. */
  readonly elsewhere: () => readonly PartitionId[];
  /** Those of the replicas here. */
  readonly local: UnaryMethod<ListStreamsRequest, StreamsPage>;
}

/** @throws LogboomError INVALID_ARGUMENT, PAGE_TOKEN_INVALID, NOT_LEADER */
export function allStreams(parts: AllStreamsParts): UnaryMethod<ListStreamsRequest, StreamsPage> {
  return async (request, context) => {
    const own = await parts.local(request, context);
    const elsewhere = isForwarded(context) ? [] : parts.elsewhere();
    if (elsewhere.length === 0) return own;
    const asked = new Map<number, Promise<StreamsPage>>();
    const others = await Promise.all(elsewhere.map((id) => askLeader(parts, { id, request, context, asked })));
    return merged([own, ...others], request, parts.crc32);
  };
}

interface Question {
  readonly id: PartitionId;
  readonly request: ListStreamsRequest;
  readonly context: CallContext;
  /** By node: it answers for all that it has. */
  readonly asked: Map<number, Promise<StreamsPage>>;
}

function askLeader(parts: AllStreamsParts, { id, request, context, asked }: Question): Promise<StreamsPage> {
  const { leaders, local } = parts;
  const { signal } = context;
  return leaders.run(
    id,
    { signal, isForwarded: false },
    {
      local: () => local(request, context),
      remote: (node) => {
        const answer = asked.get(node.nodeId) ?? askNode(parts, node, id, { request, context });
        asked.set(node.nodeId, answer);
        // Asked again, it shall be asked anew.
        answer.catch(() => asked.delete(node.nodeId));
        return answer;
      },
    },
  );
}

async function askNode(
  { remote }: AllStreamsParts,
  node: RemoteNode,
  partitionId: PartitionId,
  { request, context }: Pick<Question, 'request' | 'context'>,
): Promise<StreamsPage> {
  const { path, requestSerialize, responseDeserialize } = callerOf('StreamService', 'ListStreams');
  const headers = remote.headers(authorizationOf(context));
  const options = { deadline: context.deadlineUnixMs, signal: context.signal };
  try {
    const bytes = await unaryCall(remote.client(node), path, requestSerialize(request), headers, options);
    return responseDeserialize(bytes) as StreamsPage;
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    const isServiceError = error instanceof Error && 'code' in error && error.code !== grpcStatus.OK;
    if (!isServiceError) throw error;
    throw remote.failureOf(error as never, node, { partitionId, isIdempotent: true });
  }
}

/** Each page holds the first names of its node, so the first of all of them are the first of the cluster. */
function merged(pages: readonly StreamsPage[], { limit }: ListStreamsRequest, crc32: Crc32): StreamsPage {
  const byName = new Map(pages.flatMap(({ streams }) => streams.map((stream) => [stream.name, stream] as const)));
  const all = [...byName.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const streams = all.slice(0, limit ?? readLimits.listDefault);
  const last = streams.at(-1);
  const more = all.length > streams.length || pages.some(({ nextPageToken }) => nextPageToken !== '');
  return { streams, nextPageToken: more && last ? streamsPageToken(last.name, crc32) : '' };
}
