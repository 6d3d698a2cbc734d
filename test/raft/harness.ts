import { asLsn, asReplicaId, asTerm, noReplica, type ReplicaId } from '../../src/base/ids.js';
import {
  emptyConfState,
  RaftCore,
  type ConfState,
  type Message,
  type RaftOptions,
  type RaftOutput,
} from '../../src/raft/index.js';
import { scenarioRandom } from '../scenarios/replay.js';
import { ScenarioLog } from '../scenarios/scenario-log.js';

export const bytes = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill);
export const ids = (...numbers: number[]): ReplicaId[] => numbers.map(asReplicaId);
export const votersConf = (...numbers: number[]): ConfState => ({ ...emptyConfState, voters: ids(...numbers) });

/** One core with a log in memory whose syncs happen when the test says so. */
export class Host {
  readonly log: ScenarioLog;
  readonly core: RaftCore;
  /** Outputs taken so far. */
  readonly outputs: RaftOutput[] = [];

  constructor(id: number, voters: readonly number[], options: Partial<RaftOptions> = {}, log = new ScenarioLog()) {
    this.log = log;
    this.core = new RaftCore({
      id: asReplicaId(id),
      electionTicks: 10,
      heartbeatTicks: 1,
      log,
      hardState: { term: asTerm(0), vote: noReplica, commit: asLsn(0) },
      applied: asLsn(0),
      confState: votersConf(...voters),
      random: scenarioRandom(id),
      preVote: false,
      ...options,
    });
  }

  /** Takes the next output and hands entries over, without syncing. */
  take(): RaftOutput | undefined {
    const output = this.core.takeOutput();
    if (output === undefined) return undefined;
    if (output.persist !== undefined) this.log.append(output.persist.entries);
    this.outputs.push(output);
    return output;
  }

  takeAll(): RaftOutput[] {
    const taken: RaftOutput[] = [];
    for (let output = this.take(); output !== undefined; output = this.take()) taken.push(output);
    return taken;
  }

  get lastToken(): number {
    return this.outputs.findLast((output) => output.persist !== undefined)?.persist?.token ?? 0;
  }

  /** Syncs all that was handed over, and applies what may be applied, until nothing moves. Answers what is sent. */
  settle(): Message[] {
    const sent: Message[] = [];
    for (let output = this.take(); output !== undefined; output = this.take()) {
      sent.push(...output.messages);
      if (output.persist !== undefined) this.core.onWalDurable(output.persist.token);
      sent.push(...output.messagesAfterDurable);
      if (output.appliable !== undefined) this.core.onApplied(output.appliable);
    }
    return sent;
  }
}

/** Delivers everything between hosts until nothing moves. `lost` drops messages. */
export function settleAll(hosts: readonly Host[], lost: (message: Message) => boolean = () => false): void {
  for (let moved = true; moved;) {
    const sent = hosts.flatMap((host) => host.settle());
    moved = sent.length > 0;
    for (const message of sent)
      if (!lost(message)) hosts.find((host) => host.core.id === message.to)?.core.step(message);
  }
}

/** Three hosts with 1 leading. */
export function ledGroup(options: Partial<RaftOptions> = {}): [Host, Host, Host] {
  const hosts: [Host, Host, Host] = [
    new Host(1, [1, 2, 3], options),
    new Host(2, [1, 2, 3], options),
    new Host(3, [1, 2, 3], options),
  ];
  hosts[0].core.campaign();
  settleAll(hosts);
  return hosts;
}
