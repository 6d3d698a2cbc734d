import { asLsn, asReplicaId, asTerm, type ReplicaId } from '../../src/base/ids.js';
import type { Random } from '../../src/base/ports/random.js';
import {
  EntryKind,
  isVoter,
  type ConfChange,
  type ConfChangeStep,
  type LogStart,
  type Message,
  type ProposeResult,
  type StorageFault,
} from '../../src/raft/index.js';
import { isResponse } from '../../src/raft/messages.js';
import { numbersOf, parseLine, valueOf, valuesOf, type Argument, type Directive } from './datadriven.js';
import { ScenarioNode, type Envelope, type NodeConfig } from './scenario-node.js';
import { entryText, messageNames, messageText, progressText, roleNames } from './text.js';

const encoder = new TextEncoder();
const logLevels = ['debug', 'info', 'warn', 'error', 'fatal', 'none'];
const quietLevel = 'none';

/** An error that belongs into the transcript. */
class DirectiveError extends Error {}

/** The directives of `interaction` files: a whole group, its network and its storage threads. */
export class Group {
  readonly #nodes: ScenarioNode[] = [];
  #network: Envelope[] = [];
  #level = 'debug';
  #out: string[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Output of one directive, as lines; empty for "ok". Log lines are never part of it. */
  run(directive: Directive): string[] {
    this.#out = [];
    const error = this.#runAll(directive);
    const lines = this.#level === quietLevel ? [] : this.#out;
    if (error !== undefined) lines.push(error);
    return lines.flatMap((text) => text.split('\n'));
  }

  #runAll(directive: Directive): string | undefined {
    if (directive.command === 'propose-conf-change') return caught(() => this.#proposeConfChange(directive));
    const first = caught(() => this.#single(directive.command, directive.args));
    if (first !== undefined) return first;
    for (const line of directive.input) {
      const { command, args } = parseLine(line, directive.line);
      const error = caught(() => this.#single(command, args));
      if (error !== undefined && this.#level === quietLevel) return error;
      if (error !== undefined) this.#print(error);
    }
    return undefined;
  }

  #print(text: string): void {
    if (text !== '') this.#out.push(text);
  }

  #node(id: number): ScenarioNode {
    const node = this.#nodes[id - 1];
    if (node === undefined) throw new DirectiveError(`no node ${id}`);
    return node;
  }

  #first(args: readonly Argument[]): ScenarioNode {
    return this.#node(Number(args[0]?.key));
  }

  #single(command: string, args: readonly Argument[]): void {
    const handler = this.#handlers[command];
    if (handler === undefined) throw new DirectiveError('unknown command');
    handler(args);
  }

  readonly #handlers: Record<string, ((args: readonly Argument[]) => void) | undefined> = {
    _breakpoint: () => {},
    'add-nodes': (args) => this.#addNodes(args),
    campaign: (args) => this.#first(args).core.campaign(),
    compact: (args) => this.#compact(args),
    'deliver-msgs': (args) => this.#deliverMessages(args),
    'process-ready': (args) => this.#each(args, 'handling Ready', (node) => this.#processReady(node)),
    'process-append-thread': (args) =>
      this.#each(args, 'processing append thread', (node) => this.#send(node.processAppendThread())),
    'process-apply-thread': (args) =>
      this.#each(args, 'processing apply thread', (node) => this.#send(node.processApplyThread())),
    'log-level': (args) => this.#setLevel(args[0]?.key ?? ''),
    'raft-log': (args) => this.#printLog(this.#first(args)),
    'raft-state': () => this.#printStates(),
    'set-randomized-election-timeout': (args) =>
      this.#first(args).core.overrideElectionTimeout(Number(valueOf(args, 'timeout'))),
    stabilize: (args) => this.#stabilize(args),
    status: (args) =>
      this.#first(args)
        .core.status()
        .progress.forEach((progress) => this.#print(progressText(progress))),
    'tick-election': (args) => this.#tick(args, this.#first(args).config.raft.electionTicks),
    'tick-heartbeat': (args) => this.#tick(args, this.#first(args).config.raft.heartbeatTicks),
    tick: (args) => this.#tick(args, Number(args[1]?.key)),
    'transfer-leadership': (args) => this.#transfer(args),
    'forget-leader': (args) => this.#first(args).core.forgetLeader(),
    'send-snapshot': (args) => this.#sendSnapshot(args),
    propose: (args) =>
      this.#checkProposed(this.#first(args).core.propose([encoder.encode(unquote(args[1]?.key ?? ''))])),
    'report-unreachable': (args) => this.#first(args).core.onUnreachable(asReplicaId(Number(args[1]?.key))),
    // Of this project.
    'read-index': (args) => this.#readIndex(args),
    restart: (args) => this.#first(args).restart(),
    'storage-fault': (args) => this.#first(args).core.onStorageFault((valueOf(args, 'kind') ?? 'hang') as StorageFault),
    'storage-fault-cleared': (args) => this.#first(args).core.onStorageFaultCleared(),
    'drop-msgs': () => this.#dropAll(),
    'raft-status': (args) => this.#printStatus(this.#first(args)),
  };

  // ---- Nodes -------------------------------------------------------------------------------------------------------

  #addNodes(args: readonly Argument[]): void {
    const start = startOf(args);
    if (start !== undefined && start.lsn <= 1)
      throw new DirectiveError('index must be specified as > 1 due to bootstrap');
    const config = configOf(args);
    for (let left = Number(args[0]?.key); left > 0; left -= 1) {
      this.#nodes.push(new ScenarioNode(asReplicaId(this.#nodes.length + 1), config, start, this.#random));
    }
  }

  #compact(args: readonly Argument[]): void {
    const node = this.#first(args);
    try {
      node.compactTo(asLsn(Number(args[1]?.key)));
    } catch (error) {
      throw new DirectiveError((error as Error).message);
    }
    this.#printLog(node);
  }

  #tick(args: readonly Argument[], ticks: number): void {
    const { core } = this.#first(args);
    for (let left = ticks; left > 0; left -= 1) core.tick();
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------

  #checkProposed(result: ProposeResult): void {
    if (!result.ok && result.reason !== 'forwarded') throw new DirectiveError('raft proposal dropped');
  }

  #proposeConfChange(directive: Directive): void {
    const { core } = this.#first(directive.args);
    const change: ConfChange = {
      transition: transitionOf(valueOf(directive.args, 'transition')),
      steps: stepsOf(directive.input.join(' ')),
      context: new Uint8Array(0),
    };
    const v1 = valueOf(directive.args, 'v1') === 'true';
    if (v1 && (change.steps.length > 1 || change.transition !== 'auto')) {
      throw new DirectiveError('v1 conf change can only have one operation and no transition');
    }
    this.#checkProposed(core.proposeConfChange(change, v1 ? EntryKind.confChange : EntryKind.confChangeV2));
  }

  #transfer(args: readonly Argument[]): void {
    this.#node(Number(valueOf(args, 'from'))).core.transferLeader(asReplicaId(Number(valueOf(args, 'to'))));
  }

  #sendSnapshot(args: readonly Argument[]): void {
    const [from, to] = numbersOf(args);
    const node = this.#node(from!);
    const message: Message = {
      type: 'snapshot',
      from: node.id,
      to: asReplicaId(to!),
      term: node.core.term,
      start: node.snapshots.at(-1)!,
    };
    this.#network.push(networkEnvelope(message));
    this.#print(messageText(message));
  }

  #readIndex(args: readonly Argument[]): void {
    const result = this.#first(args).core.readIndex(Number(valueOf(args, 'context')));
    if (!result.ok) throw new DirectiveError(`refused: ${result.reason}`);
  }

  // ---- Network -----------------------------------------------------------------------------------------------------

  #send({ text, sent }: { text: string; sent: readonly Envelope[] }): void {
    this.#print(text);
    this.#network.push(...sent);
  }

  #processReady(node: ScenarioNode): void {
    this.#send(node.processReady());
  }

  #each(args: readonly Argument[], what: string, act: (node: ScenarioNode) => void): void {
    const ids = numbersOf(args);
    for (const id of ids) {
      if (ids.length > 1) this.#print(`> ${id} ${what}`);
      act(this.#node(id));
    }
  }

  #deliverMessages(args: readonly Argument[]): void {
    const type = valueOf(args, 'type');
    if (type !== undefined && !Object.values(messageNames).includes(type) && !type.startsWith('MsgStorage')) {
      throw new DirectiveError(`unknown message type ${type}`);
    }
    let count = 0;
    for (const arg of args) {
      const drop = arg.key === 'drop';
      if (!drop && arg.values.length > 0) continue;
      for (const id of drop ? arg.values : [arg.key]) count += this.#deliver(asReplicaId(Number(id)), type, drop);
    }
    if (count === 0) this.#print('no messages');
  }

  #deliver(to: ReplicaId, type: string | undefined, drop: boolean): number {
    const chosen = (envelope: Envelope): boolean =>
      envelope.to === to && !(drop && envelope.local) && (type === undefined || envelope.type === type);
    const taken = this.#network.filter(chosen);
    this.#network = this.#network.filter((envelope) => !chosen(envelope));
    for (const envelope of taken) {
      this.#print(drop ? `dropped: ${envelope.text}` : envelope.text);
      if (!drop) this.#hand(envelope);
    }
    return taken.length;
  }

  #hand(envelope: Envelope): void {
    const { message } = envelope;
    if (message === undefined) {
      envelope.effect?.();
      return;
    }
    const node = this.#node(envelope.to);
    if (isResponse(message) && !node.core.isMember(message.from)) {
      this.#print('raft: cannot step as peer not found');
      return;
    }
    const refusal = node.core.step(message);
    if (refusal !== undefined && refusal.reason !== 'forwarded') this.#print('raft proposal dropped');
    node.installRequested();
  }

  #dropAll(): void {
    const local = this.#network.filter((envelope) => envelope.local);
    this.#network = local;
  }

  // ---- Stabilize ---------------------------------------------------------------------------------------------------

  #stabilize(args: readonly Argument[]): void {
    const ids = numbersOf(args);
    const nodes = ids.length === 0 ? this.#nodes : ids.map((id) => this.#node(id));
    const level = this.#level;
    const asked = valueOf(args, 'log-level');
    if (asked !== undefined) this.#setLevel(asked);
    const before = this.#out.length;
    while (this.#stabilizeOnce(nodes));
    if (this.#level === quietLevel) this.#out.length = before;
    this.#level = level;
  }

  #stabilizeOnce(nodes: readonly ScenarioNode[]): boolean {
    let moved = false;
    const act = (node: ScenarioNode, due: boolean, what: string, action: () => void): void => {
      if (!due) return;
      this.#print(`> ${node.id} ${what}`);
      action();
      moved = true;
    };
    for (const node of nodes) act(node, node.hasReady, 'handling Ready', () => this.#processReady(node));
    for (const node of nodes) {
      const due = this.#network.some((envelope) => envelope.to === node.id);
      act(node, due, 'receiving messages', () => this.#deliver(node.id, undefined, false));
    }
    for (const node of nodes) {
      act(node, node.appendWork.length > 0, 'processing append thread', () => {
        while (node.appendWork.length > 0) this.#send(node.processAppendThread());
      });
    }
    for (const node of nodes) {
      act(node, node.applyWork.length > 0, 'processing apply thread', () => {
        while (node.applyWork.length > 0) this.#send(node.processApplyThread());
      });
    }
    return moved;
  }

  // ---- Looking -----------------------------------------------------------------------------------------------------

  #setLevel(level: string): void {
    if (!logLevels.includes(level.toLowerCase()))
      throw new DirectiveError(`log levels must be either of [${logLevels.join(' ')}]`);
    this.#level = level.toLowerCase();
  }

  #printLog(node: ScenarioNode): void {
    const { stored } = node;
    if (stored.entries.length === 0)
      this.#print(`log is empty: first index=${stored.firstLsn}, last index=${stored.lastLsn}`);
    for (const entry of stored.entries) this.#print(entryText(entry));
  }

  #printStates(): void {
    for (const { id, core } of this.#nodes) {
      const voter = isVoter(core.confState, id) ? 'Voter' : 'Non-Voter';
      this.#print(`${id}: ${roleNames[core.role]} (${voter}) Term:${core.term} Lead:${core.leader}`);
    }
  }

  #printStatus({ core }: ScenarioNode): void {
    const { role, term, vote, leader, commit, applied, lastLsn, durableLsn } = core.status();
    this.#print(
      `${role} term=${term} vote=${vote} leader=${leader} commit=${commit} applied=${applied} last=${lastLsn} durable=${durableLsn}`,
    );
  }
}

function caught(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof DirectiveError) return error.message;
    throw error;
  }
}

function networkEnvelope(message: Message): Envelope {
  return {
    to: message.to,
    type: messageNames[message.type],
    text: messageText(message),
    local: false,
    message,
    effect: undefined,
  };
}

function unquote(text: string): string {
  return /^".*"$/.test(text) ? (JSON.parse(text) as string) : text;
}

function idsOf(args: readonly Argument[], key: string): ReplicaId[] {
  return valuesOf(args, key)
    .flatMap((value) => value.split(/\s+/))
    .map((value) => asReplicaId(Number(value)))
    .sort((a, b) => a - b);
}

/** The snapshot that new nodes start from; none for nodes that start empty. */
function startOf(args: readonly Argument[]): LogStart | undefined {
  const voters = idsOf(args, 'voters');
  const learners = idsOf(args, 'learners');
  const index = valueOf(args, 'index');
  if (voters.length === 0 && learners.length === 0 && index === undefined && valueOf(args, 'content') === undefined)
    return undefined;
  const votersOutgoing = idsOf(args, 'voters-outgoing');
  return {
    lsn: asLsn(Number(index ?? 0)),
    term: asTerm(Number(valueOf(args, 'term') ?? 1)),
    confState: {
      voters,
      votersOutgoing,
      learners,
      learnersNext: [],
      autoLeave: valueOf(args, 'auto-leave') === 'true',
    },
  };
}

function configOf(args: readonly Argument[]): NodeConfig {
  const flag = (key: string): boolean => valueOf(args, key) === 'true';
  const number = (...keys: readonly string[]): number | undefined => {
    const found = keys.map((key) => valueOf(args, key)).find((value) => value !== undefined);
    return found === undefined ? undefined : Number(found);
  };
  const readOnly = valueOf(args, 'read-only') ?? 'safe';
  if (readOnly !== 'safe' && readOnly !== 'lease-based')
    throw new DirectiveError(`invalid read-only option "${readOnly}"`);
  const driftBound = number('drift-bound');
  return {
    startTerm: number('term') ?? 0,
    asyncStorage: flag('async-storage-writes'),
    applyBytesMax: number('max-committed-size-per-ready') ?? Infinity,
    raft: {
      electionTicks: number('election-ticks') ?? 3,
      heartbeatTicks: 1,
      preVote: flag('prevote'),
      checkQuorum: flag('checkquorum'),
      readMode: readOnly === 'safe' ? 'read-index' : 'lease',
      ...(driftBound === undefined ? {} : { clockDriftBound: driftBound }),
      disableProposalForwarding: flag('disable-proposal-forwarding'),
      stepDownOnRemoval: flag('step-down-on-removal'),
      disableConfChangeValidation: flag('disable-conf-change-validation'),
      acknowledgeEachAppend: true,
      limits: {
        messageBytesMax: Infinity,
        inflightMessagesMax: number('inflight', 'max-inflight') ?? 2 ** 31 - 1,
        inflightBytesMax: Infinity,
        uncommittedBytesMax: Infinity,
        entryBytesMax: Infinity,
      },
    },
  };
}

const stepTypes: Record<string, ConfChangeStep['type']> = {
  v: 'add-voter',
  l: 'add-learner',
  r: 'remove',
  u: 'update',
};

/** `v1 l2 r3 u4` */
export function stepsOf(text: string): ConfChangeStep[] {
  return text
    .split(/\s+/)
    .filter((token) => token !== '')
    .map((token) => {
      const type = stepTypes[token[0]!];
      if (type === undefined || !/^.\d+$/.test(token)) throw new DirectiveError(`unknown input: ${token}`);
      return { type, replica: asReplicaId(Number(token.slice(1))) };
    });
}

function transitionOf(name: string | undefined): ConfChange['transition'] {
  if (name === undefined || name === 'auto' || name === 'implicit' || name === 'explicit') return name ?? 'auto';
  throw new DirectiveError(`unknown transition ${name}`);
}
