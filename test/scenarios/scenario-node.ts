import { asLsn, asTerm, noReplica, type Lsn, type ReplicaId } from '../../src/base/ids.js';
import type { Random } from '../../src/base/ports/random.js';
import {
  decodeConfChange,
  emptyConfState,
  EntryKind,
  RaftCore,
  type Entry,
  type HardState,
  type LogStart,
  type Message,
  type Persist,
  type RaftOptions,
  type RaftOutput,
} from '../../src/raft/index.js';
import { ScenarioLog } from './scenario-log.js';
import { entriesText, entryText, hardStateText, messageText, roleNames, snapshotText } from './text.js';

export interface NodeConfig {
  /** Of the hard state. Transcripts start with 0 although their snapshots are of term 1. */
  readonly startTerm: number;
  readonly asyncStorage: boolean;
  /** Encoded bytes of entries that may be handed to the state machine and not be applied yet. */
  readonly applyBytesMax: number;
  readonly raft: Omit<RaftOptions, 'id' | 'log' | 'hardState' | 'applied' | 'confState' | 'random' | 'snapshotPoint'>;
}

/** What the storage threads of a node have to do, oldest first. */
interface AppendWork {
  readonly persist: Persist | undefined;
  readonly snapshot: LogStart | undefined;
  /** Messages that may leave when this is done. */
  readonly messages: readonly Message[];
  /** Answers of the node to itself, as transcripts write them. */
  readonly ownAnswers: readonly { type: string; text: string }[];
  /** Transcripts tell the node that its log is stored only when it waits for that. */
  readonly attests: { readonly lsn: Lsn; readonly term: number; readonly logTerm: number } | undefined;
}

/** Something on its way to a node. Local ones come from the node's own storage threads and are never lost. */
export interface Envelope {
  readonly to: ReplicaId;
  readonly type: string;
  readonly text: string;
  readonly local: boolean;
  readonly message: Message | undefined;
  readonly effect: (() => void) | undefined;
}

/**
 * A host of the core that drives it the way transcripts of etcd-io/raft do: with synchronous storage (a ready is
 * written, applied and acknowledged in one go), or with storage threads that are run by directives.
 */
export class ScenarioNode {
  readonly id: ReplicaId;
  readonly config: NodeConfig;
  core: RaftCore;
  /** What was handed over; the core reads this. */
  #view: ScenarioLog;
  /** What is on disk. */
  readonly stored: ScenarioLog;
  #storedState: HardState;
  /** The newest is what other nodes bootstrap from. */
  readonly snapshots: LogStart[];
  readonly appendWork: AppendWork[] = [];
  readonly applyWork: Entry[][] = [];
  readonly #random: Random;

  #shownRole = 'follower';
  #shownLeader: ReplicaId = noReplica;
  #applying: Lsn;
  #applyingBytes = 0;
  #applyingPaused = false;
  /** A snapshot that the core took and that is not on disk yet: shown by the next ready, and still in progress after. */
  #snapshotToShow: LogStart | undefined;
  #snapshotInProgress = false;

  constructor(id: ReplicaId, config: NodeConfig, start: LogStart | undefined, random: Random) {
    this.id = id;
    this.config = config;
    this.#random = random;
    const from = start ?? { lsn: asLsn(0), term: asTerm(0), confState: emptyConfState };
    this.#view = new ScenarioLog(from);
    this.stored = new ScenarioLog(from);
    this.snapshots = [from];
    this.#applying = from.lsn;
    this.#storedState = { term: asTerm(config.startTerm), vote: noReplica, commit: from.lsn };
    this.core = this.#newCore();
  }

  #newCore(): RaftCore {
    const newest = this.snapshots.at(-1)!;
    return new RaftCore({
      ...this.config.raft,
      id: this.id,
      log: this.#view,
      hardState: this.#storedState,
      applied: newest.lsn,
      confState: newest.confState,
      random: this.#random,
      snapshotPoint: () => {
        const point = this.snapshots.at(-1)!;
        return point.lsn === 0 ? undefined : point;
      },
    });
  }

  /** Power loss: what is not on disk is gone, and so is what was about to be sent or applied. */
  restart(): void {
    this.appendWork.length = 0;
    this.applyWork.length = 0;
    this.#view = this.stored.clone();
    this.#shownRole = 'follower';
    this.#shownLeader = noReplica;
    this.#applying = this.snapshots.at(-1)!.lsn;
    this.#applyingBytes = 0;
    this.#applyingPaused = false;
    this.core = this.#newCore();
  }

  get hasReady(): boolean {
    return (
      this.core.hasOutputBesidesAppliable || this.#snapshotToShow !== undefined || this.#committedTo() > this.#applying
    );
  }

  /** After each step: a snapshot that the core asks for is taken at once, as transcripts have it. */
  installRequested(): void {
    const start = this.core.installing;
    if (start !== undefined) this.#install(start);
  }

  #install(start: LogStart): void {
    if (!this.core.beginSnapshot(start)) return;
    this.#view.install(start);
    this.core.onSnapshotDone(start);
    this.#snapshotToShow = start;
    this.#snapshotInProgress = true;
    this.#applying = start.lsn;
  }

  // ---- Ready -------------------------------------------------------------------------------------------------------

  /** Carries out one ready; answers its text and what is sent. */
  processReady(): { text: string; sent: Envelope[] } {
    const limit = this.#committedTo();
    const output = this.core.takeOutput();
    const snapshot = this.#snapshotToShow;
    this.#snapshotToShow = undefined;
    const entries = output?.persist?.entries ?? [];
    this.#view.append(entries);
    const committed = this.#takeCommitted(limit);
    return this.config.asyncStorage
      ? this.#readyAsync(output, snapshot, committed)
      : this.#readySync(output, snapshot, committed);
  }

  #readySync(
    output: RaftOutput | undefined,
    snapshot: LogStart | undefined,
    committed: Entry[],
  ): { text: string; sent: Envelope[] } {
    const messages = [...(output?.messages ?? []), ...(output?.messagesAfterDurable ?? [])];
    const text = this.#readyText(output, snapshot, committed, messages.map(messageText));
    this.#write(output?.persist, snapshot);
    this.#apply(committed);
    if (output?.persist !== undefined) this.core.onWalDurable(output.persist.token);
    if (snapshot !== undefined) this.#snapshotInProgress = false;
    if (committed.length > 0) this.#applied(committed);
    return { text, sent: messages.map(envelopeOf) };
  }

  #readyAsync(
    output: RaftOutput | undefined,
    snapshot: LogStart | undefined,
    committed: Entry[],
  ): { text: string; sent: Envelope[] } {
    const lines = (output?.messages ?? []).map(messageText);
    const work = this.#appendWorkOf(output, snapshot);
    if (work !== undefined) {
      this.appendWork.push(work);
      lines.push(this.#appendWorkText(work) + responsesText(this.#appendAnswers(work).map((answer) => answer.text)));
    }
    if (committed.length > 0) {
      this.applyWork.push(committed);
      lines.push(this.#applyWorkText(committed) + responsesText([this.#applyAnswerText(committed)]));
    }
    const text = this.#readyText(output, snapshot, committed, lines);
    return { text, sent: (output?.messages ?? []).map(envelopeOf) };
  }

  #readyText(
    output: RaftOutput | undefined,
    snapshot: LogStart | undefined,
    committed: readonly Entry[],
    messages: readonly string[],
  ): string {
    const body: string[] = [];
    const soft = this.#softStateText(output);
    if (soft !== undefined) body.push(soft);
    const persist = output?.persist;
    if (persist?.hardState !== undefined) body.push(`HardState ${hardStateText(persist.hardState)}`);
    if (output !== undefined && output.confirmedReads.length > 0) {
      body.push('ReadStates:', ...output.confirmedReads.map((read) => `${read.lsn} context=${read.context}`));
    }
    if (output !== undefined && output.droppedReads.length > 0) {
      body.push('DroppedReads:', ...output.droppedReads.map((context) => `context=${context}`));
    }
    if (persist !== undefined && persist.entries.length > 0) body.push('Entries:', ...persist.entries.map(entryText));
    if (snapshot !== undefined) body.push(`Snapshot ${snapshotText(snapshot)}`);
    if (committed.length > 0) body.push('CommittedEntries:', ...committed.map(entryText));
    if (messages.length > 0) body.push('Messages:', ...messages);
    if (body.length === 0) return '<empty Ready>';
    return [`Ready MustSync=${persist?.mustSync ?? false}:`, ...body].join('\n');
  }

  #softStateText(output: RaftOutput | undefined): string | undefined {
    const leadership = output?.leadership;
    if (leadership === undefined) return undefined;
    if (leadership.role === this.#shownRole && leadership.leader === this.#shownLeader) return undefined;
    this.#shownRole = leadership.role;
    this.#shownLeader = leadership.leader;
    return `Lead:${leadership.leader} State:${roleNames[leadership.role]}`;
  }

  // ---- Append thread -----------------------------------------------------------------------------------------------

  #appendWorkOf(output: RaftOutput | undefined, snapshot: LogStart | undefined): AppendWork | undefined {
    const persist = output?.persist;
    const messages = output?.messagesAfterDurable ?? [];
    const ownAnswers = this.#ownAnswers(output);
    if (persist === undefined && snapshot === undefined && messages.length === 0 && ownAnswers.length === 0)
      return undefined;
    const waits = this.core.durableLsn < this.core.lastLsn;
    const attests =
      waits || snapshot !== undefined
        ? {
            lsn: waits ? this.core.lastLsn : asLsn(0),
            term: this.core.term,
            logTerm: waits ? this.#view.termAt(this.core.lastLsn)! : 0,
          }
        : undefined;
    return { persist, snapshot, messages, ownAnswers, attests };
  }

  /** The core counts its own votes and entries by itself; transcripts show that as messages of the node to itself. */
  #ownAnswers(output: RaftOutput | undefined): { type: string; text: string }[] {
    const answers: { type: string; text: string }[] = [];
    const persist = output?.persist;
    const me = `${this.id}->${this.id}`;
    const state = persist?.hardState;
    if (output?.leadership?.role === 'pre-candidate') {
      answers.push({ type: 'MsgPreVoteResp', text: `${me} MsgPreVoteResp Term:${output.leadership.term + 1} Log:0/0` });
    }
    if (
      state !== undefined &&
      state.vote === this.id &&
      persist!.mustSync &&
      output?.leadership?.role === 'candidate'
    ) {
      answers.push({ type: 'MsgVoteResp', text: `${me} MsgVoteResp Term:${state.term} Log:0/0` });
    }
    if (this.core.role === 'leader') {
      for (const entry of persist?.entries ?? []) {
        answers.push({ type: 'MsgAppResp', text: `${me} MsgAppResp Term:${this.core.term} Log:0/${entry.lsn}` });
      }
    }
    return answers;
  }

  #appendWorkText(work: AppendWork): string {
    const state = work.persist?.hardState;
    let text = `${this.id}->AppendThread MsgStorageAppend Term:${state?.term ?? 0} Log:0/0`;
    if (state !== undefined && state.commit > 0) text += ` Commit:${state.commit}`;
    if (state !== undefined && state.vote > 0) text += ` Vote:${state.vote}`;
    text += entriesText(work.persist?.entries ?? []);
    if (work.snapshot !== undefined) text += `\n  Snapshot: ${snapshotText(work.snapshot)}`;
    return text;
  }

  #appendAnswers(work: AppendWork): Envelope[] {
    const token = work.persist?.token;
    let report: (() => void) | undefined = token === undefined ? undefined : () => this.core.onWalDurable(token);
    const answers = work.messages.map(envelopeOf);
    const local = (type: string, text: string, effect: (() => void) | undefined): Envelope => ({
      to: this.id,
      type,
      text,
      local: true,
      message: undefined,
      effect,
    });
    // One report stands for all of the node's answers to itself; the first of them carries it.
    for (const { type, text } of work.ownAnswers) {
      answers.push(local(type, text, report));
      report = undefined;
    }
    if (work.attests !== undefined) {
      const { lsn, term, logTerm } = work.attests;
      let text = `AppendThread->${this.id} MsgStorageAppendResp Term:${term} Log:${logTerm}/${lsn}`;
      if (work.snapshot !== undefined) text += `\n  Snapshot: ${snapshotText(work.snapshot)}`;
      const before = report;
      answers.push(
        local('MsgStorageAppendResp', text, () => {
          before?.();
          if (work.snapshot !== undefined) this.#snapshotInProgress = false;
        }),
      );
    }
    return answers;
  }

  processAppendThread(): { text: string; sent: Envelope[] } {
    const work = this.appendWork.shift();
    if (work === undefined) return { text: 'no append work to perform', sent: [] };
    this.#write(work.persist, work.snapshot);
    const answers = this.#appendAnswers(work);
    const text = [
      'Processing:',
      this.#appendWorkText(work),
      'Responses:',
      ...answers.map((answer) => answer.text),
    ].join('\n');
    return { text, sent: answers };
  }

  #write(persist: Persist | undefined, snapshot: LogStart | undefined): void {
    if (persist?.hardState !== undefined) this.#storedState = persist.hardState;
    if (snapshot !== undefined) this.stored.install(snapshot);
    if (persist !== undefined) this.stored.append(persist.entries);
  }

  // ---- Apply thread ------------------------------------------------------------------------------------------------

  #committedTo(): Lsn {
    if (this.#applyingPaused || this.#snapshotInProgress) return this.#applying;
    const { commit, durableLsn } = this.core;
    return this.config.asyncStorage && durableLsn < commit ? durableLsn : commit;
  }

  #takeCommitted(limit: Lsn): Entry[] {
    if (limit <= this.#applying) return [];
    const taken: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#view.entries.slice(
      this.#applying + 1 - this.#view.firstLsn,
      limit + 1 - this.#view.firstLsn,
    )) {
      const size = encodedBytes(entry);
      if (taken.length > 0 && bytes + size > this.config.applyBytesMax - this.#applyingBytes) break;
      bytes += size;
      taken.push(entry);
    }
    this.#applying = taken.at(-1)!.lsn;
    this.#applyingBytes += bytes;
    this.#applyingPaused = this.#applyingBytes >= this.config.applyBytesMax || this.#applying < limit;
    return taken;
  }

  #applyWorkText(entries: readonly Entry[]): string {
    return `${this.id}->ApplyThread MsgStorageApply Term:0 Log:0/0${entriesText(entries)}`;
  }

  #applyAnswerText(entries: readonly Entry[]): string {
    return `ApplyThread->${this.id} MsgStorageApplyResp Term:0 Log:0/0${entriesText(entries)}`;
  }

  processApplyThread(): { text: string; sent: Envelope[] } {
    const entries = this.applyWork.shift();
    if (entries === undefined) return { text: 'no apply work to perform', sent: [] };
    const answer = this.#applyAnswerText(entries);
    this.#apply(entries);
    const effect = (): void => this.#applied(entries);
    return {
      text: ['Processing:', this.#applyWorkText(entries), 'Responses:', answer].join('\n'),
      sent: [{ to: this.id, type: 'MsgStorageApplyResp', text: answer, local: true, message: undefined, effect }],
    };
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      let { confState } = this.snapshots.at(-1)!;
      if (entry.kind !== EntryKind.normal) confState = this.core.applyConfChange(decodeConfChange(entry.data));
      this.snapshots.push({ lsn: entry.lsn, term: entry.term, confState });
    }
  }

  #applied(entries: readonly Entry[]): void {
    this.#applyingBytes = Math.max(
      0,
      this.#applyingBytes - entries.reduce((sum, entry) => sum + encodedBytes(entry), 0),
    );
    this.#applyingPaused = this.#applyingBytes >= this.config.applyBytesMax;
    this.core.onApplied(entries.at(-1)!.lsn);
  }

  /** Trims up to and including `lsn`. */
  compactTo(lsn: Lsn): void {
    this.stored.compactTo(lsn);
    this.#view.compactTo(lsn);
  }
}

function envelopeOf(message: Message): Envelope {
  return {
    to: message.to,
    type: messageText(message).split(' ')[1]!,
    text: messageText(message),
    local: false,
    message,
    effect: undefined,
  };
}

function responsesText(answers: readonly string[]): string {
  return answers.length === 0 ? '' : ` Responses:[\n${answers.map((answer) => `  ${answer}`).join('\n')}\n]`;
}

function varintSize(value: number): number {
  return value < 0x80 ? 1 : 1 + varintSize(Math.floor(value / 0x80));
}

/** Size of the entry in the encoding that the limits of transcripts are about. */
function encodedBytes(entry: Entry): number {
  const data = entry.data.length === 0 ? 0 : 1 + varintSize(entry.data.length) + entry.data.length;
  return 2 + 1 + varintSize(entry.term) + 1 + varintSize(entry.lsn) + data;
}
