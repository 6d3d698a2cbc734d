/**
 * How a node gets the table when its own replica of the metadata cannot give it the newest: it has none, the replica has
 * stopped, or the group has moved to nodes that this one has never heard of. It asks those that it knows, and each answers
 * what it has. A table is a committed state, so whoever answers cannot answer anything wrong, only something old.
 */
import { isLogboomError } from '../../base/errors.js';
import { Rounds } from '../../base/rounds.js';
import { decodePartitionTable, encodePartitionTable } from '../../metadata/index.js';
import type { LogboomError } from '../../base/errors.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState } from '../../metadata/index.js';
import type { CallMethod } from '../../transport/index.js';

export const tableMethod = 'cluster-table';

const lookEveryMs = 1000;
/** Also without a reason: of what has removed it, a node may see nothing. */
const looksPerRound = 5;
const versionBytes = 8;

/** Answers the newest table of this node when it is newer than the caller's, otherwise nothing. */
export function tableHandler(state: () => ClusterState | undefined): CallMethod {
  return {
    kind: 'unary',
    access: 'members',
    requestBytesMax: versionBytes,
    handle: async (request) => {
      const table = state();
      const known = request.length === versionBytes ? Number(viewOf(request).getBigUint64(0)) : 0;
      return table === undefined || table.tableVersion <= known ? new Uint8Array(0) : encodePartitionTable(table);
    },
  };
}

export interface TableExchangeParts {
  readonly environment: Pick<Environment, 'clock' | 'logger' | 'random'>;
  readonly state: () => ClusterState | undefined;
  /** Whether the own replica of the metadata is known not to bring the newest. */
  readonly isStale: () => boolean;
  /** `HOST:PORT` of links of other nodes, of any age. */
  readonly addresses: () => readonly string[];
  readonly ask: (address: string, request: Uint8Array) => Promise<Uint8Array>;
  readonly onTable: (state: ClusterState) => void;
  /** The cluster does not take this node any more. */
  readonly onRemoved: (error: LogboomError) => void;
}

export class TableExchange {
  readonly #parts: TableExchangeParts;
  readonly #rounds: Rounds;
  #looks = 0;

  constructor(parts: TableExchangeParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.environment.clock, lookEveryMs, (signal) => this.#look(signal));
  }

  run(): void {
    this.#rounds.run();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { environment, isStale, addresses } = this.#parts;
    const known = addresses();
    this.#looks += 1;
    if (isStale()) {
      await Promise.all(known.map((address) => this.#askAt(address, signal)));
    } else if (this.#looks % looksPerRound === 0 && known.length > 0) {
      await this.#askAt(known[environment.random.nextUint32() % known.length] as string, signal);
    }
  }

  async #askAt(address: string, signal: AbortSignal): Promise<void> {
    const { ask, state, onTable, onRemoved, environment } = this.#parts;
    const request = new Uint8Array(versionBytes);
    viewOf(request).setBigUint64(0, BigInt(state()?.tableVersion ?? 0));
    try {
      const answer = await ask(address, request);
      if (answer.length > 0 && !signal.aborted) onTable(decodePartitionTable(answer));
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      if (error.reason === 'NODE_REMOVED') onRemoved(error);
      else environment.logger.debug('a node did not answer its table', { address, error });
    }
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
