/** How transcripts write entries, messages and states. */
import type { ReplicaId } from '../../src/base/ids.js';
import {
  decodeConfChange,
  EntryKind,
  type ConfChangeStep,
  type ConfState,
  type Entry,
  type HardState,
  type LogStart,
  type Message,
  type ProgressStatus,
  type Role,
} from '../../src/raft/index.js';

const decoder = new TextDecoder();

export const roleNames: Record<Role, string> = {
  follower: 'StateFollower',
  'pre-candidate': 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
};

export const messageNames: Record<Message['type'], string> = {
  append: 'MsgApp',
  'append-response': 'MsgAppResp',
  heartbeat: 'MsgHeartbeat',
  'heartbeat-response': 'MsgHeartbeatResp',
  // Not of etcd-io/raft, whose scenarios run without quiet groups.
  quiet: 'MsgQuiet',
  'quiet-response': 'MsgQuietResp',
  vote: 'MsgVote',
  'vote-response': 'MsgVoteResp',
  'pre-vote': 'MsgPreVote',
  'pre-vote-response': 'MsgPreVoteResp',
  snapshot: 'MsgSnap',
  'snapshot-failed': 'MsgSnapStatus',
  'timeout-now': 'MsgTimeoutNow',
  'transfer-leader': 'MsgTransferLeader',
  propose: 'MsgProp',
  'read-index': 'MsgReadIndex',
  'read-index-response': 'MsgReadIndexResp',
};

const stepLetters: Record<ConfChangeStep['type'], string> = {
  'add-voter': 'v',
  'add-learner': 'l',
  remove: 'r',
  update: 'u',
};
const kindNames = {
  [EntryKind.normal]: 'EntryNormal',
  [EntryKind.confChange]: 'EntryConfChange',
  [EntryKind.confChangeV2]: 'EntryConfChangeV2',
};

export function stepsText(steps: readonly ConfChangeStep[]): string {
  return steps.map((step) => `${stepLetters[step.type]}${step.replica}`).join(' ');
}

export function entryText(entry: Entry): string {
  const content =
    entry.kind === EntryKind.normal
      ? JSON.stringify(decoder.decode(entry.data))
      : stepsText(decodeConfChange(entry.data).steps);
  return `${entry.term}/${entry.lsn} ${kindNames[entry.kind]} ${content}`.trimEnd();
}

export function entriesText(entries: readonly Entry[]): string {
  if (entries.length === 0) return '';
  if (entries.length === 1) return ` Entries:[${entryText(entries[0]!)}]`;
  return ` Entries:[\n${entries.map((entry) => `    ${entryText(entry)}`).join('\n')}\n  ]`;
}

export function hardStateText(state: HardState): string {
  const vote = state.vote === 0 ? '' : ` Vote:${state.vote}`;
  return `Term:${state.term}${vote} Commit:${state.commit}`;
}

export function confStateText(conf: ConfState): string {
  const list = (replicas: readonly ReplicaId[]): string => `[${replicas.join(' ')}]`;
  return (
    `Voters:${list(conf.voters)} VotersOutgoing:${list(conf.votersOutgoing)} Learners:${list(conf.learners)} ` +
    `LearnersNext:${list(conf.learnersNext)} AutoLeave:${conf.autoLeave}`
  );
}

export function snapshotText(start: LogStart): string {
  return `Index:${start.lsn} Term:${start.term} ConfState:${confStateText(start.confState)}`;
}

/** The one-line form of a configuration: `voters=(1 2)&&(3) learners=(4) learners_next=(5) autoleave`. */
export function configText(conf: ConfState): string {
  const list = (replicas: readonly ReplicaId[]): string => `(${replicas.join(' ')})`;
  let text = `voters=${list(conf.voters)}`;
  if (conf.votersOutgoing.length > 0) text += `&&${list(conf.votersOutgoing)}`;
  if (conf.learners.length > 0) text += ` learners=${list(conf.learners)}`;
  if (conf.learnersNext.length > 0) text += ` learners_next=${list(conf.learnersNext)}`;
  return conf.autoLeave ? `${text} autoleave` : text;
}

const progressNames = { probe: 'StateProbe', replicate: 'StateReplicate', snapshot: 'StateSnapshot' };

export function progressText(of: ProgressStatus): string {
  let text = `${of.replica}: ${progressNames[of.state]} match=${of.match} next=${of.next}`;
  if (of.learner) text += ' learner';
  if (of.paused) text += ' paused';
  if (of.pendingSnapshot > 0) text += ` pendingSnap=${of.pendingSnapshot}`;
  if (!of.recentActive) text += ' inactive';
  if (of.inflightMessages > 0) text += ` inflight=${of.inflightMessages}${of.inflightFull ? '[full]' : ''}`;
  return text;
}

interface Details {
  readonly logTerm?: number;
  readonly lsn?: number;
  readonly tail?: string;
}

export function messageText(message: Message): string {
  const { logTerm = 0, lsn = 0, tail = '' } = detailsOf(message);
  return `${message.from}->${message.to} ${messageNames[message.type]} Term:${message.term} Log:${logTerm}/${lsn}${tail}`;
}

function commitText(commit: number): string {
  return commit === 0 ? '' : ` Commit:${commit}`;
}

function detailsOf(message: Message): Details {
  switch (message.type) {
    case 'append':
      return {
        logTerm: message.previousTerm,
        lsn: message.previousLsn,
        tail: commitText(message.commit) + entriesText(message.entries),
      };
    case 'append-response':
      return {
        logTerm: message.hintTerm,
        lsn: message.lsn,
        tail: message.rejected ? ` Rejected (Hint: ${message.hintLsn})` : '',
      };
    case 'heartbeat':
      return { tail: commitText(message.commit) };
    case 'vote':
    case 'pre-vote':
      return { logTerm: message.lastTerm, lsn: message.lastLsn };
    case 'vote-response':
    case 'pre-vote-response':
      return { tail: message.rejected ? ' Rejected (Hint: 0)' : '' };
    case 'snapshot':
      return { tail: `\n    Snapshot: ${snapshotText(message.start)}` };
    case 'propose':
      return {
        tail: entriesText(message.proposals.map(({ kind, data }) => ({ kind, data, term: 0, lsn: 0 }) as Entry)),
      };
    case 'read-index-response':
      return { lsn: message.lsn };
    default:
      return {};
  }
}
