import { asLsn, asReplicaId, asTerm, noReplica, type Lsn, type ReplicaId } from '../../src/base/ids.js';
import { nextInteger, type Random } from '../../src/base/ports/random.js';
import {
  decodeConfChange,
  decodeMessage,
  emptyConfState,
  encodeMessage,
  EntryKind,
  isJoint,
  leaveJoint,
  membersOf,
  RaftCore,
  type ConfChange,
  type ConfChangeStep,
  type ConfState,
  type HardState,
  type LogStart,
  type Message,
  type Persist,
  type RaftOutput,
} from '../../src/raft/index.js';
import { ScenarioLog } from '../scenarios/scenario-log.js';
import { SoupChecker, SoupViolation, type CheckedReplica } from './soup-checker.js';

export interface SoupOptions {
  readonly seed: number;
  readonly steps: number;
  readonly mutant?: string;
}

export interface SoupResult {
  readonly violation: string | undefined;
  readonly counts: {
    commits: number;
    elections: number;
    reads: number;
    restarts: number;
    installs: number;
    confChanges: number;
  };
}

/** mulberry32: small, fast, and good enough to draw schedules from. */
export function soupRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    nextUint32: () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return (mixed ^ (mixed >>> 14)) >>> 0;
    },
  };
}

const electionTicks = 6;
const clockDriftBound = 2;

/** What a replica's machine keeps. */
class SoupReplica implements CheckedReplica {
  readonly id: ReplicaId;
  core: RaftCore;
  view: ScenarioLog;
  readonly disk: ScenarioLog;
  hardState: HardState;
  /** Handed over, not synced; oldest first. */
  pending: Persist[] = [];
  /** Synced, and the report is on its way. */
  reportable = 0;
  waiting: { token: number; messages: readonly Message[] }[] = [];
  durableToken = 0;
  applied: LogStart;
  /** What of the state survives a crash. */
  persisted: LogStart;
  appliable: Lsn;
  seenCommit: Lsn;
  installing = false;
  begun: LogStart | undefined;
  applyPaused = false;
  /** Local ticks a unit of time, and the local time. */
  readonly rate: number;
  time = 0;

  constructor(id: ReplicaId, start: LogStart, rate: number, newCore: (replica: SoupReplica) => RaftCore) {
    this.id = id;
    this.view = new ScenarioLog(start);
    this.disk = new ScenarioLog(start);
    this.hardState = { term: asTerm(0), vote: noReplica, commit: start.lsn };
    this.applied = start;
    this.persisted = start;
    this.appliable = start.lsn;
    this.seenCommit = start.lsn;
    this.rate = rate;
    this.core = newCore(this);
  }
}

/**
 * A group in a hostile world: messages are lost, repeated and reordered, disks sync late and in parts, reports of it
 * come later still, replicas crash and come back, configurations change, logs are trimmed. One seed, one schedule.
 * How likely each of these is is drawn for each seed too (swarm testing), so that rare combinations get their turn.
 */
export class Soup {
  readonly #random: Random;
  readonly #options: SoupOptions;
  readonly #replicas: SoupReplica[] = [];
  readonly #checker = new SoupChecker();
  readonly #actions: { weight: number; run: () => void }[];
  readonly #totalWeight: number;
  readonly #leases: boolean;
  #network: Message[] = [];
  #cut = new Set<string>();
  #archived: LogStart | undefined;
  #nextData = 1;
  #nextRead = 1;
  #restarts = 0;
  #installs = 0;
  #confChanges = 0;

  constructor(options: SoupOptions) {
    this.#options = options;
    this.#random = soupRandom(options.seed);
    this.#leases = this.#chance(3);
    const replicas = 3 + this.#below(3);
    const voters = this.#chance(2) ? replicas : 2 + this.#below(replicas - 1);
    this.#createReplicas(replicas, voters);
    this.#actions = this.#drawActions();
    this.#totalWeight = this.#actions.reduce((sum, action) => sum + action.weight, 0);
  }

  run(): SoupResult {
    let violation: string | undefined;
    try {
      for (let left = this.#options.steps; left > 0; left -= 1) this.#step();
      this.#checker.checkLogMatching(this.#replicas);
      this.#heal();
    } catch (error) {
      violation = `${(error as Error).name}: ${(error as Error).message}`;
      if (!/^(SoupViolation|InvariantViolation)/.test(violation)) throw error;
    }
    const { commits, elections, reads } = this.#checker;
    return {
      violation,
      counts: {
        commits,
        elections,
        reads,
        restarts: this.#restarts,
        installs: this.#installs,
        confChanges: this.#confChanges,
      },
    };
  }

  #below(bound: number): number {
    return nextInteger(this.#random, bound);
  }

  #chance(oneIn: number): boolean {
    return this.#below(oneIn) === 0;
  }

  #any<T>(list: readonly T[]): T {
    return list[this.#below(list.length)]!;
  }

  #createReplicas(count: number, voterCount: number): void {
    const voters = Array.from({ length: voterCount }, (_, i) => asReplicaId(i + 1));
    const conf: ConfState = { ...emptyConfState, voters };
    for (let i = 1; i <= count; i += 1) {
      const start = { lsn: asLsn(0), term: asTerm(0), confState: conf };
      // Within the drift bound of 2, however two replicas are drawn. With leases, clocks are as bad as they may be.
      const rate = this.#leases ? this.#any([0.71, 1.4]) : 0.71 + this.#below(70) / 100;
      this.#replicas.push(new SoupReplica(asReplicaId(i), start, rate, (replica) => this.#newCore(replica)));
    }
  }

  #newCore(replica: SoupReplica): RaftCore {
    const preVote = this.#leases || this.#options.seed % 2 === 0;
    return new RaftCore({
      id: replica.id,
      electionTicks,
      heartbeatTicks: 1,
      log: replica.view,
      hardState: replica.hardState,
      applied: replica.persisted.lsn,
      confState: replica.persisted.confState,
      random: this.#random,
      snapshotPoint: () => this.#archived,
      limits: { messageBytesMax: 24, inflightMessagesMax: 4, uncommittedBytesMax: 400, pendingReadsMax: 16 },
      preVote,
      checkQuorum: preVote,
      readMode: this.#leases ? 'lease' : 'read-index',
      clockDriftBound,
      disableProposalForwarding: this.#options.seed % 3 === 0,
      ...(this.#options.mutant === undefined ? {} : { mutant: this.#options.mutant }),
    });
  }

  // ---- Schedule ----------------------------------------------------------------------------------------------------

  #drawActions(): { weight: number; run: () => void }[] {
    const rare = (): number => (this.#chance(2) ? 0 : 1 + this.#below(10));
    const replica = (): SoupReplica => this.#any(this.#replicas);
    const elections = this.#chance(3);
    const churn = this.#chance(3);
    // Half of the worlds have disks and networks that are fast compared to a tick; with leases all have, as only then
    // another leader can be up while the lease of the one before may still be believed in.
    const speed = this.#leases ? 4 : 1;
    const slowTicks = this.#chance(2) ? 4 + this.#below(8) : 30 + this.#below(60);
    return [
      { weight: this.#leases ? 20 + this.#below(20) : slowTicks, run: () => this.#advanceTime() },
      { weight: (150 + this.#below(300)) * speed, run: () => this.#deliver() },
      { weight: (40 + this.#below(120)) * speed, run: () => this.#sync(replica()) },
      { weight: (40 + this.#below(120)) * speed, run: () => this.#report(replica()) },
      { weight: 20 + this.#below(60), run: () => this.#apply(replica()) },
      { weight: 20 + this.#below(60), run: () => this.#propose() },
      { weight: this.#leases ? 60 : 5 + this.#below(20), run: () => this.#read() },
      { weight: rare() * 2, run: () => this.#lose() },
      { weight: rare() * 3, run: () => this.#repeat() },
      { weight: elections ? 8 + this.#below(16) : rare(), run: () => this.#crash(replica()) },
      { weight: this.#leases ? 4 : rare(), run: () => this.#changeCuts() },
      { weight: churn ? 30 + this.#below(40) : rare(), run: () => this.#changeConf() },
      { weight: rare() * 3, run: () => this.#persistAndTrim(replica()) },
      { weight: 20, run: () => this.#install(replica()) },
      { weight: rare(), run: () => this.#transfer() },
      { weight: elections ? 8 + this.#below(16) : rare(), run: () => replica().core.campaign() },
      { weight: rare(), run: () => replica().core.forgetLeader() },
      { weight: rare(), run: () => this.#storageFault(replica()) },
      { weight: churn ? 4 + this.#below(8) : rare(), run: () => this.#pauseApply(replica()) },
    ];
  }

  #step(): void {
    let at = this.#below(this.#totalWeight);
    for (const action of this.#actions) {
      if (at < action.weight) {
        action.run();
        break;
      }
      at -= action.weight;
    }
    for (const replica of this.#replicas) this.#drain(replica);
  }

  #drain(replica: SoupReplica): void {
    for (let output = replica.core.takeOutput(); output !== undefined; output = replica.core.takeOutput()) {
      this.#carryOut(replica, output);
    }
  }

  #carryOut(replica: SoupReplica, output: RaftOutput): void {
    if (output.persist !== undefined) {
      replica.view.append(output.persist.entries);
      replica.pending.push(output.persist);
    }
    for (const message of output.messages) this.#send(message);
    if (output.messagesAfterDurable.length > 0) {
      if (output.durableAfter <= replica.durableToken)
        output.messagesAfterDurable.forEach((message) => this.#send(message));
      else replica.waiting.push({ token: output.durableAfter, messages: output.messagesAfterDurable });
    }
    this.#checkCommit(replica);
    if (output.appliable !== undefined) {
      this.#checker.onAppliable(replica, output.appliable);
      replica.appliable = output.appliable;
    }
    for (const { context, lsn } of output.confirmedReads) this.#checker.onReadConfirmed(context, lsn);
    for (const context of output.droppedReads) this.#checker.onReadLost(context);
    if (output.snapshotToInstall !== undefined) replica.installing = true;
    if (output.leadership?.role === 'candidate' && replica.core.role === 'candidate') {
      this.#checker.onCandidate(replica, replica.core.applied, replica.core.commit);
    }
    if (output.leadership?.role === 'leader') this.#checker.onLeader(replica, output.leadership.term);
  }

  #checkCommit(replica: SoupReplica): void {
    const { commit, role, confState } = replica.core;
    if (commit <= replica.seenCommit) return;
    this.#checker.onCommit(replica, replica.seenCommit, commit);
    const term = replica.view.termAt(commit)!;
    if (role === 'leader') this.#checker.onLeaderCommit(this.#replicas, confState, commit, term);
    replica.seenCommit = commit;
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  /** Everything works again: the group has to elect a leader, commit, and bring all members to the same point. */
  #heal(): void {
    this.#cut.clear();
    for (const replica of this.#replicas) {
      replica.applyPaused = false;
      replica.core.onStorageFaultCleared();
    }
    const before = this.#checker.maxCommitted;
    for (let left = 400; left > 0; left -= 1) {
      this.#calmTick();
      if (this.#converged(before)) return;
    }
    const states = this.#replicas.map(
      ({ core }) => `${core.id}:${core.role}@${core.term} ${core.applied}/${core.commit}/${core.lastLsn}`,
    );
    throw new SoupViolation(`no convergence after ${before}: ${states.join(', ')}`);
  }

  #calmTick(): void {
    for (const replica of this.#replicas) replica.core.tick();
    for (let round = 0; round < 12; round += 1) {
      for (const replica of this.#replicas) {
        this.#drain(replica);
        for (const persist of replica.pending.splice(0)) this.#write(replica, persist);
        this.#report(replica);
        // What that commits is judged by the configuration of this moment, not by one that is applied next.
        this.#drain(replica);
        this.#apply(replica);
        this.#install(replica);
      }
      for (const message of this.#network.splice(0)) {
        this.#replicas.find((replica) => replica.id === message.to)?.core.step(message);
      }
    }
    const leader = this.#replicas.find((replica) => replica.core.role === 'leader');
    if (leader !== undefined && leader.core.commit === leader.core.lastLsn) leader.core.propose([new Uint8Array(1)]);
  }

  /** Something new is committed, and every member has applied it. */
  #converged(before: number): boolean {
    const leader = this.#replicas.find((replica) => replica.core.role === 'leader');
    if (leader === undefined || leader.core.commit <= before) return false;
    return membersOf(leader.core.confState).every((id) => {
      const replica = this.#replicas.find((each) => each.id === id);
      return replica !== undefined && replica.core.applied > before;
    });
  }

  // ---- Network -----------------------------------------------------------------------------------------------------

  #send(message: Message): void {
    this.#checker.onSent(message);
    if (this.#network.length < 400) this.#network.push(message);
  }

  #deliver(): void {
    if (this.#network.length === 0) return;
    // Mostly in order, sometimes any.
    const at = this.#chance(4) ? this.#below(this.#network.length) : 0;
    const [message] = this.#network.splice(at, 1);
    if (this.#cut.has(`${message!.from}>${message!.to}`)) return;
    const target = this.#replicas.find((replica) => replica.id === message!.to);
    target?.core.step(this.#chance(8) ? (decodeMessage(encodeMessage(message!)) as Message) : message!);
  }

  #lose(): void {
    if (this.#network.length > 0) this.#network.splice(this.#below(this.#network.length), 1 + this.#below(4));
  }

  #repeat(): void {
    if (this.#network.length > 0) this.#network.push(this.#any(this.#network));
  }

  #changeCuts(): void {
    this.#cut.clear();
    if (this.#chance(3)) return;
    const lonely = (this.#chance(2) ? this.#proposer() : this.#any(this.#replicas)).id;
    for (const { id } of this.#replicas) {
      if (id === lonely) continue;
      if (!this.#chance(4)) this.#cut.add(`${lonely}>${id}`);
      if (!this.#chance(4)) this.#cut.add(`${id}>${lonely}`);
    }
  }

  #advanceTime(): void {
    for (const replica of this.#replicas) {
      const before = Math.floor(replica.time);
      replica.time += replica.rate;
      for (let left = Math.floor(replica.time) - before; left > 0; left -= 1) replica.core.tick();
    }
  }

  // ---- Disk --------------------------------------------------------------------------------------------------------

  #sync(replica: SoupReplica): void {
    const count = Math.min(replica.pending.length, 1 + this.#below(3));
    for (const persist of replica.pending.splice(0, count)) this.#write(replica, persist);
  }

  #write(replica: SoupReplica, persist: Persist): void {
    replica.disk.append(persist.entries);
    if (persist.hardState !== undefined) replica.hardState = persist.hardState;
    replica.reportable = persist.token;
  }

  #report(replica: SoupReplica): void {
    if (replica.reportable <= replica.durableToken) return;
    replica.durableToken = replica.reportable;
    replica.core.onWalDurable(replica.durableToken);
    while (replica.waiting.length > 0 && replica.waiting[0]!.token <= replica.durableToken) {
      for (const message of replica.waiting.shift()!.messages) this.#send(message);
    }
  }

  #crash(replica: SoupReplica): void {
    this.#restarts += 1;
    // Some of what was not synced may have reached the disk.
    for (const persist of replica.pending.slice(0, this.#below(replica.pending.length + 1)))
      this.#write(replica, persist);
    replica.pending = [];
    replica.waiting = [];
    replica.reportable = 0;
    replica.durableToken = 0;
    replica.installing = false;
    replica.begun = undefined;
    replica.view = replica.disk.clone();
    replica.applied = replica.persisted;
    replica.appliable = replica.persisted.lsn;
    replica.core = this.#newCore(replica);
    replica.seenCommit = replica.core.commit;
  }

  #storageFault(replica: SoupReplica): void {
    if (this.#chance(2)) replica.core.onStorageFault(this.#chance(2) ? 'hang' : 'full');
    else for (const each of this.#replicas) each.core.onStorageFaultCleared();
  }

  #persistAndTrim(replica: SoupReplica): void {
    replica.persisted = replica.applied;
    if (replica.persisted.lsn > (this.#archived?.lsn ?? 0)) this.#archived = replica.persisted;
    const to = Math.min(replica.persisted.lsn, this.#archived?.lsn ?? 0);
    if (to < replica.view.firstLsn || this.#chance(3)) return;
    replica.view.compactTo(asLsn(to));
    replica.disk.compactTo(asLsn(to));
  }

  /** One step of a bootstrap: begin, or finish what was begun, or give up. */
  #install(replica: SoupReplica): void {
    if (replica.begun !== undefined) {
      this.#finishInstall(replica, replica.begun);
      return;
    }
    const start = this.#archived;
    if (!replica.installing || start === undefined) return;
    if (this.#chance(4)) {
      replica.installing = false;
      replica.core.onSnapshotFailed();
    } else if (replica.core.beginSnapshot(start)) {
      replica.begun = start;
    } else {
      replica.installing = false;
    }
  }

  #finishInstall(replica: SoupReplica, start: LogStart): void {
    if (replica.pending.length > 0 || replica.reportable > replica.durableToken) return;
    replica.installing = false;
    replica.begun = undefined;
    if (this.#chance(6)) {
      replica.core.onSnapshotFailed();
      return;
    }
    this.#installs += 1;
    replica.view.install(start);
    replica.disk.install(start);
    replica.applied = start;
    replica.persisted = start;
    replica.appliable = start.lsn;
    replica.seenCommit = start.lsn;
    replica.core.onSnapshotDone(start);
  }

  // ---- Clients and operators ---------------------------------------------------------------------------------------

  /** A state machine that is stuck, or goes on. */
  #pauseApply(replica: SoupReplica): void {
    replica.applyPaused = !replica.applyPaused && this.#chance(2);
  }

  #apply(replica: SoupReplica): void {
    if (replica.applyPaused) return;
    const to = Math.min(replica.appliable, replica.applied.lsn + 1 + this.#below(4));
    for (let lsn = replica.applied.lsn + 1; lsn <= to; lsn += 1) {
      const entry = replica.view.entries[lsn - replica.view.firstLsn]!;
      let { confState } = replica.applied;
      if (entry.kind !== EntryKind.normal) {
        confState = replica.core.applyConfChange(decodeConfChange(entry.data));
        this.#confChanges += 1;
        // What a smaller quorum has in common is committed at once: not to be judged by a configuration that comes later.
        this.#checkCommit(replica);
      }
      replica.applied = { lsn: entry.lsn, term: entry.term, confState };
    }
    if (replica.applied.lsn > replica.core.applied) replica.core.onApplied(replica.applied.lsn);
  }

  #proposer(): SoupReplica {
    const leaders = this.#replicas.filter((replica) => replica.core.role === 'leader');
    return this.#any(leaders.length > 0 && !this.#chance(8) ? leaders : this.#replicas);
  }

  #propose(): void {
    const datas = Array.from({ length: 1 + this.#below(3) }, () => {
      const data = new Uint8Array(8);
      new DataView(data.buffer).setUint32(0, this.#nextData);
      this.#nextData += 1;
      return data;
    });
    this.#proposer().core.propose(datas);
  }

  #read(): void {
    const context = this.#nextRead;
    this.#nextRead += 1;
    const { core } = this.#proposer();
    this.#checker.onRead(context);
    if (!core.readIndex(context).ok) this.#checker.onReadLost(context);
  }

  #changeConf(): void {
    const { core } = this.#proposer();
    const change: ConfChange =
      isJoint(core.confState) && this.#chance(2)
        ? leaveJoint
        : {
            transition: this.#any(['auto', 'auto', 'auto', 'implicit', 'explicit'] as const),
            steps: Array.from({ length: this.#chance(3) ? 1 + this.#below(3) : 1 }, () => this.#drawStep()),
            context: new Uint8Array(0),
          };
    core.proposeConfChange(change);
  }

  #drawStep(): ConfChangeStep {
    const { voters } = this.#proposer().core.confState;
    const strangers = this.#replicas.filter((replica) => !voters.includes(replica.id));
    if (!this.#chance(3) && strangers.length > 0 && (voters.length < 3 || this.#chance(2))) {
      return { type: 'add-voter', replica: this.#any(strangers).id };
    }
    if (!this.#chance(3) && voters.length > 2) return { type: 'remove', replica: this.#any(voters) };
    const type = this.#any(['add-voter', 'add-voter', 'remove', 'add-learner'] as const);
    return { type, replica: this.#any(this.#replicas).id };
  }

  #transfer(): void {
    this.#proposer().core.transferLeader(this.#any(this.#replicas).id);
  }
}

export function runSoup(options: SoupOptions): SoupResult {
  return new Soup(options).run();
}
