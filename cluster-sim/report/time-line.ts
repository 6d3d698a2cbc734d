/** What happened when and where: kept only in runs that someone will look at. */
import type { WireMessage } from '../../src/raft/types.js';

export interface TimeLineEvent {
  readonly atMs: number;
  /** 0 is the cluster, negative numbers are clients. */
  readonly nodeId: number;
  readonly text: string;
}

export interface WatermarkSample {
  readonly atMs: number;
  readonly nodeId: number;
  readonly partitionId: number;
  readonly role: 'leader' | 'follower' | 'down';
  readonly term: number;
  readonly last: number;
  readonly durable: number;
  readonly commit: number;
  readonly applied: number;
  readonly persisted: number;
}

/** Text lines of messages kept: those nearest to the end are what explains a failure. */
const messagesMax = 4000;

export class TimeLine {
  readonly events: TimeLineEvent[] = [];
  readonly samples: WatermarkSample[] = [];
  readonly messages: TimeLineEvent[] = [];
  readonly #isKept: boolean;
  /** Called with every line as it happens, for `replay --trace`. */
  onLine: ((line: string) => void) | undefined;

  constructor(isKept: boolean) {
    this.#isKept = isKept;
  }

  get isKept(): boolean {
    return this.#isKept;
  }

  event(atMs: number, nodeId: number, text: string): void {
    if (!this.#isKept) return;
    this.events.push({ atMs, nodeId, text });
    this.onLine?.(`${atMs.toFixed(3).padStart(12)} ${who(nodeId)} ${text}`);
  }

  sample(sample: WatermarkSample): void {
    if (this.#isKept) this.samples.push(sample);
  }

  message(atMs: number, nodeId: number, partitionId: number, message: WireMessage): void {
    if (!this.#isKept) return;
    const text = describeMessage(partitionId, message);
    if (message.type !== 'heartbeat' && message.type !== 'heartbeat-response') {
      if (this.messages.length >= 2 * messagesMax) this.messages.splice(0, messagesMax);
      this.messages.push({ atMs, nodeId, text });
    }
    this.onLine?.(`${atMs.toFixed(3).padStart(12)} ${who(nodeId)} <- ${text}`);
  }
}

function who(nodeId: number): string {
  if (nodeId === 0) return 'cluster ';
  return nodeId > 0 ? `node ${nodeId}  ` : `client ${-nodeId}`;
}

/** One line that names what matters of a message. */
export function describeMessage(partitionId: number, message: WireMessage): string {
  const head = `p${partitionId} ${message.type} from ${message.from} term ${message.term}`;
  switch (message.type) {
    case 'append': {
      const { entries, previousLsn, previousTerm, commit } = message;
      const range = entries.length === 0 ? 'no entries' : `${previousLsn + 1}..${previousLsn + entries.length}`;
      return `${head}: ${range} after ${previousLsn}/${previousTerm}, commit ${commit}`;
    }
    case 'append-response':
      return message.rejected
        ? `${head}: rejects ${message.lsn}, hint ${message.hintLsn}/${message.hintTerm}`
        : `${head}: has up to ${message.lsn}`;
    case 'heartbeat':
      return `${head}: commit ${message.commit}, round ${message.round}`;
    case 'vote':
    case 'pre-vote':
      return `${head}: last entry ${message.lastLsn}/${message.lastTerm}${message.leadershipTransfer ? ', by transfer' : ''}`;
    case 'vote-response':
    case 'pre-vote-response':
      return `${head}: ${message.rejected ? 'refused' : 'granted'}`;
    case 'read-index-response':
      return `${head}: LSN ${message.lsn}`;
    default:
      return head;
  }
}
