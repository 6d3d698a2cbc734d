/** The directives of `quorum` and `confchange` files: pure functions, exact output. */
import { asLsn, asReplicaId, type ReplicaId } from '../../src/base/ids.js';
import {
  ConfChangeError,
  enterJointConf,
  emptyConfState,
  leaveJointConf,
  simpleConf,
} from '../../src/raft/conf-change.js';
import type { Progress } from '../../src/raft/progress.js';
import { jointReached, jointVote, majorityReached, majorityVote } from '../../src/raft/quorum.js';
import { Tracker } from '../../src/raft/tracker.js';
import type { ConfState } from '../../src/raft/index.js';
import { valueOf, valuesOf, type Directive } from './datadriven.js';
import { stepsOf } from './group.js';
import { configText, progressText } from './text.js';

const voteNames = { won: 'VoteWon', lost: 'VoteLost', pending: 'VotePending' };

/** Replicas of both halves in order of mention, each once, with the inputs given for them. */
function inputsOf(directive: Directive, key: string, ids: readonly ReplicaId[]): Map<ReplicaId, string> {
  const inputs = valuesOf(directive.args, key).flatMap((value) => value.split(/\s+/));
  const distinct = [...new Set(ids)];
  return new Map(distinct.map((id, i) => [id, inputs[i] ?? '_']));
}

export function runQuorum(directive: Directive): string[] {
  const idsOf = (key: string): ReplicaId[] =>
    valuesOf(directive.args, key)
      .filter((value) => value !== 'zero')
      .map((value) => asReplicaId(Number(value)));
  const voters = idsOf('cfg');
  const outgoing = idsOf('cfgj');
  const joint = directive.args.some((arg) => arg.key === 'cfgj');
  if (directive.command === 'vote') return runVote(directive, voters, outgoing, joint);
  if (directive.command === 'committed') return runCommitted(directive, voters, outgoing, joint);
  return [`unknown command: ${directive.command}`];
}

function runVote(directive: Directive, voters: ReplicaId[], outgoing: ReplicaId[], joint: boolean): string[] {
  const votes = inputsOf(directive, 'votes', [...voters, ...outgoing]);
  const voteOf = (id: ReplicaId): boolean | undefined => {
    const vote = votes.get(id);
    return vote === 'y' ? true : vote === 'n' ? false : undefined;
  };
  if (!joint) return [voteNames[majorityVote(voters, voteOf)]];
  const result = jointVote(voters, outgoing, voteOf);
  const swapped = jointVote(outgoing, voters, voteOf);
  const lines = [voteNames[result]];
  if (swapped !== result) lines.unshift(`${voteNames[swapped]} <-- via symmetry`);
  return lines;
}

function runCommitted(directive: Directive, voters: ReplicaId[], outgoing: ReplicaId[], joint: boolean): string[] {
  const inputs = inputsOf(directive, 'idx', [...voters, ...outgoing]);
  const known = new Map<ReplicaId, number>();
  for (const [id, input] of inputs) if (input !== '_' && Number(input) > 0) known.set(id, Number(input));
  const reached = (id: ReplicaId): number => known.get(id) ?? 0;
  const picture = describeReached([...new Set([...voters, ...outgoing])], known);
  const text = (value: number): string => (value === Infinity ? '∞' : String(value));
  const result = joint ? jointReached(voters, outgoing, reached) : majorityReached(voters, reached);
  const others: [string, number][] = joint
    ? [['symmetry', jointReached(outgoing, voters, reached)]]
    : [
        ['zero-joint quorum', jointReached(voters, [], reached)],
        ['self-joint quorum', jointReached(voters, voters, reached)],
      ];
  const wrong = others.filter(([, value]) => value !== result).map(([name, value]) => `${text(value)} <-- via ${name}`);
  return `${picture}${[...wrong, text(result)].join('\n')}`.split('\n');
}

/** A bar for each replica: as long as the number of replicas that are strictly behind it. */
function describeReached(ids: readonly ReplicaId[], known: ReadonlyMap<ReplicaId, number>): string {
  if (ids.length === 0) return '<empty majority quorum>';
  const count = ids.length;
  const value = (id: ReplicaId): number => known.get(id) ?? 0;
  let text = `${' '.repeat(count)}    idx\n`;
  for (const id of [...ids].sort((a, b) => a - b)) {
    const bar = ids.filter((other) => value(other) < value(id)).length;
    const picture = known.has(id) ? `${'x'.repeat(bar)}>${' '.repeat(count - bar)}` : `?${' '.repeat(count)}`;
    text += `${picture} ${String(value(id)).padStart(5)}    (id=${id})\n`;
  }
  return text;
}

/** One file is one configuration that its directives change. */
export class ConfChangeScript {
  #conf: ConfState = emptyConfState;
  #lastLsn = 0;
  readonly #tracker = new Tracker(emptyConfState, asLsn(0), 10, Infinity);

  run(directive: Directive): string[] {
    try {
      this.#conf = this.#changed(directive);
      this.#tracker.switchTo(this.#conf, asLsn(this.#lastLsn));
      return [configText(this.#conf), ...[...this.#tracker.progress].map(([id, progress]) => lineOf(id, progress))];
    } catch (error) {
      if (!(error instanceof ConfChangeError)) throw error;
      return [error.message];
    } finally {
      // As if each change were an entry: newcomers start where the log ends.
      this.#lastLsn += 1;
    }
  }

  #changed(directive: Directive): ConfState {
    const steps = stepsOf(directive.input.join(' '));
    switch (directive.command) {
      case 'simple':
        return simpleConf(this.#conf, steps);
      case 'enter-joint':
        return enterJointConf(this.#conf, steps, valueOf(directive.args, 'autoleave') === 'true');
      case 'leave-joint':
        if (steps.length > 0) throw new ConfChangeError('this command takes no input');
        return leaveJointConf(this.#conf);
      default:
        throw new ConfChangeError('unknown command');
    }
  }
}

function lineOf(replica: ReplicaId, of: Progress): string {
  return progressText({
    replica,
    state: of.state,
    match: of.match,
    next: of.next,
    learner: of.learner,
    paused: of.blocked,
    recentActive: of.recentActive,
    pendingSnapshot: of.pendingSnapshot,
    inflightMessages: of.inflights.count,
    inflightFull: of.inflights.full,
  });
}
