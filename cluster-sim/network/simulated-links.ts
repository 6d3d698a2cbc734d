/**
 * Links between the nodes of a run, as `src/transport/http2` makes them: who connects to whom, who is turned away, which
 * messages and calls arrive. What travels goes through the simulated network, so it may come late, twice or never; but never to
 * another process than the one that the connection was made with, for a connection ends with either of its processes.
 */
import { isLogboomError, LogboomError } from '../../src/base/errors.js';
import type { NodeId, PartitionId } from '../../src/base/ids.js';
import type { Timer } from '../../src/base/ports/clock.js';
import type { Environment } from '../../src/base/ports/environment.js';
import { decodeMessage, encodeMessage } from '../../src/raft/index.js';
import type { WireMessage } from '../../src/raft/types.js';
import { backoffMs } from '../../src/transport/backoff.js';
import { decodeError, encodeError } from '../../src/transport/error-codec.js';
import { linkFailure, unreachable } from '../../src/transport/failures.js';
import {
  hellosDisagree,
  isMember,
  linkVersion,
  type Hello,
  type LinkIdentity,
  type MemberHello,
} from '../../src/transport/identity.js';
import { defaultLinkOptions as options } from '../../src/transport/options.js';
import type {
  CallMethod,
  CallOptions,
  LinkHost,
  NodeAddress,
  NodeLinks,
  PeerStatus,
} from '../../src/transport/types.js';
import type { NodeClock } from '../nodes/node-clock.js';
import type { Network } from './network.js';

/** Of a frame that has nothing in it but headers. */
const headerBytes = 100;
const queuedMax = 1024;

export const linkAddressOf = (machine: number): string => `node-${machine}:7402`;
const machineAt = ({ host }: NodeAddress): number => Number(host.slice('node-'.length));

/** Where links listen: a machine has those of the process that runs on it. */
export class LinkFabric {
  readonly network: Network;
  readonly #running = new Map<number, SimulatedLinks>();
  /** Whether a machine without a process answers that there is none: it does not when it has no power. */
  readonly #hasPower: (machine: number) => boolean;

  constructor(network: Network, hasPower: (machine: number) => boolean) {
    this.network = network;
    this.#hasPower = hasPower;
  }

  at(machine: number): SimulatedLinks | undefined {
    return this.#running.get(machine);
  }

  run(links: SimulatedLinks): void {
    this.#running.set(links.machine, links);
  }

  /** The process on a machine has ended. */
  end(machine: number): void {
    this.#running.get(machine)?.cut();
    this.#running.delete(machine);
  }

  hasPower(machine: number): boolean {
    return this.#hasPower(machine);
  }
}

export interface SimulatedLinksParts {
  readonly fabric: LinkFabric;
  readonly machine: number;
  readonly environment: Pick<Environment, 'random'>;
  readonly clock: NodeClock;
  readonly host: LinkHost;
  readonly onSent: (partitionId: PartitionId, message: WireMessage) => void;
  readonly onDelivered: (partitionId: PartitionId, message: WireMessage) => void;
  /** A handler, or who takes messages, has thrown what is no answer. */
  readonly onBug: (error: unknown) => void;
}

/** Of a frame with a sign of life. */
const presenceBytes = 8;

/** One stream of messages from a node to another. */
class Session {
  /** For the process that was connected to. What was sent before the other one ended still arrives. */
  isOpen = true;
  /** The process that has connected wants nothing more of it. */
  isAbandoned = false;
  /** Undefined until the other process has taken it. */
  server: SimulatedLinks | undefined;
  readonly client: SimulatedLinks;
  readonly from: NodeId;

  constructor(client: SimulatedLinks, from: NodeId) {
    this.client = client;
    this.from = from;
  }
}

export class SimulatedLinks implements NodeLinks {
  readonly machine: number;
  readonly parts: SimulatedLinksParts;
  readonly #methods = new Map<string, CallMethod>();
  readonly #peers = new Map<NodeId, Peer>();
  /** The newest session of each node that has connected to this one. */
  readonly #incoming = new Map<NodeId, Session>();
  #state: 'new' | 'running' | 'stopped' = 'new';

  constructor(parts: SimulatedLinksParts) {
    this.parts = parts;
    this.machine = parts.machine;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  handle(method: string, implementation: CallMethod): void {
    this.#methods.set(method, implementation);
  }

  async run(): Promise<NodeAddress> {
    this.#state = 'running';
    this.parts.fabric.run(this);
    for (const peer of this.#peers.values()) peer.connect();
    return { host: `node-${this.machine}`, port: 7402 };
  }

  renewTls(): void {}

  setPeer(nodeId: NodeId, address: NodeAddress): void {
    const known = this.#peers.get(nodeId);
    if (known !== undefined) return known.changeAddress(machineAt(address));
    const peer = new Peer(this, nodeId, machineAt(address));
    this.#peers.set(nodeId, peer);
    if (this.isRunning) peer.connect();
  }

  removePeer(nodeId: NodeId): void {
    this.#peers.get(nodeId)?.stop();
    this.#peers.delete(nodeId);
    const incoming = this.#incoming.get(nodeId);
    if (incoming !== undefined) incoming.isOpen = false;
    this.#incoming.delete(nodeId);
  }

  send(nodeId: NodeId, partitionId: PartitionId, messages: readonly WireMessage[]): void {
    if (!this.isRunning) return;
    for (const message of messages) this.parts.onSent(partitionId, message);
    this.#peers.get(nodeId)?.send(partitionId, messages.map(encodeMessage));
  }

  sendPresence(epoch: number): void {
    if (this.isRunning) for (const peer of this.#peers.values()) peer.sendPresence(epoch);
  }

  async call(
    nodeId: NodeId,
    method: string,
    request: Uint8Array,
    { timeoutMs = options.callDeadlineMs }: CallOptions = {},
  ): Promise<Uint8Array> {
    const peer = this.#peers.get(nodeId);
    if (peer === undefined) throw unreachable(`node ${nodeId} is no peer of this node`, 'not-sent');
    await peer.ready();
    return this.#callOn(peer.machine, nodeId, { method, request, timeoutMs });
  }

  callAt(
    address: NodeAddress,
    method: string,
    request: Uint8Array,
    { timeoutMs = options.callDeadlineMs }: CallOptions = {},
  ): Promise<Uint8Array> {
    return this.#callOn(machineAt(address), undefined, { method, request, timeoutMs });
  }

  get status(): readonly Pick<PeerStatus, 'nodeId' | 'state'>[] {
    return [...this.#peers.values()]
      .map(({ nodeId, state }) => ({ nodeId, state }))
      .toSorted((left, right) => left.nodeId - right.nodeId);
  }

  async stop(): Promise<void> {
    this.cut();
    if (this.parts.fabric.at(this.machine) === this) this.parts.fabric.end(this.machine);
  }

  /** The process is gone: nothing is delivered or answered afterwards. */
  cut(): void {
    this.#state = 'stopped';
    for (const session of this.#incoming.values()) session.isOpen = false;
    for (const peer of this.#peers.values()) peer.stop();
  }

  helloTo(toNodeId: NodeId | undefined): Hello {
    return { ...this.parts.host.identity(), linkVersion, takesPresence: true, toNodeId };
  }

  /** Runs `arrive` in the process that runs on the machine when the frame gets there; with undefined when there is none. */
  transmit(machine: number, bytes: number, arrive: (target: SimulatedLinks | undefined) => void): void {
    const { fabric } = this.parts;
    fabric.network.send(this.machine, machine, bytes + headerBytes, () => {
      const target = fabric.at(machine);
      if (target !== undefined) target.parts.clock.inProcess(() => target.isRunning && arrive(target));
      else if (fabric.hasPower(machine)) arrive(undefined);
    });
  }

  /** What a machine answers; to the process that asked, or to nobody. */
  answer(from: number, bytes: number, arrive: () => void): void {
    const { fabric } = this.parts;
    fabric.network.send(from, this.machine, bytes + headerBytes, () =>
      this.parts.clock.inProcess(() => {
        if (this.isRunning && fabric.at(this.machine) === this) arrive();
      }),
    );
  }

  /** The other side of `Peer.connect`. @throws LogboomError why it is turned away */
  accept(session: Session, hello: Hello): Hello {
    this.#admit(hello, 'members');
    // A connection is made once: a request that comes late, or a second time, makes none.
    if (session.isAbandoned || !session.isOpen) throw unreachable('the connection is closed', 'not-sent');
    const before = this.#incoming.get(session.from);
    if (before !== undefined && before !== session) before.isOpen = false;
    this.#incoming.set(session.from, session);
    session.server = this;
    this.#peers.get(session.from)?.wake();
    return this.helloTo(undefined);
  }

  take(session: Session, partitionId: PartitionId, frames: readonly Uint8Array[]): void {
    const deliveries = frames.map((bytes) => ({ partitionId, message: decodeMessage(bytes) }));
    for (const { message } of deliveries) this.parts.onDelivered(partitionId, message);
    try {
      void this.parts.host.deliver(session.from, deliveries);
    } catch (error) {
      this.parts.onBug(error);
    }
  }

  #callOn(
    machine: number,
    toNodeId: NodeId | undefined,
    { method, request, timeoutMs }: { method: string; request: Uint8Array; timeoutMs: number },
  ): Promise<Uint8Array> {
    const { clock } = this.parts;
    if (!this.isRunning) return Promise.reject(unreachable('the links are closed', 'not-sent'));
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(timeoutMs, () =>
        reject(new LogboomError('DEADLINE_EXCEEDED', `${method} did not answer within ${timeoutMs} ms`)),
      );
      const hello = this.helloTo(toNodeId);
      let isTaken = false;
      const settle = (bytes: number, how: () => void): void =>
        this.answer(machine, bytes, () => {
          timer.cancel();
          how();
        });
      this.transmit(machine, request.length, (target) => {
        // A connection repeats nothing: only the network of the simulation does.
        if (isTaken) return;
        isTaken = true;
        if (target === undefined) {
          settle(0, () => reject(unreachable(`no process on machine ${machine}`, 'not-sent')));
          return;
        }
        target.serve(method, request, hello, timeoutMs).then(
          (answer) => target.isRunning && settle(answer.length, () => resolve(answer)),
          (error: unknown) => {
            if (!target.isRunning) return;
            const told = encodeError(target.errorOf(error));
            settle(told.length, () => reject(decodeError(told)));
          },
        );
      });
    });
  }

  async serve(name: string, request: Uint8Array, hello: Hello, timeoutMs: number): Promise<Uint8Array> {
    const method = this.#methods.get(name);
    this.#admit(hello, method?.access ?? 'members');
    if (method === undefined || method.kind !== 'unary') throw new LogboomError('UNIMPLEMENTED', `no method '${name}'`);
    const ending = new AbortController();
    const timer = this.parts.clock.setTimer(timeoutMs, () =>
      ending.abort(new LogboomError('DEADLINE_EXCEEDED', `${name} was to end within ${timeoutMs} ms`)),
    );
    try {
      return await method.handle(request, { hello, signal: ending.signal, timeoutMs, isCertifiedFor: undefined });
    } finally {
      timer.cancel();
    }
  }

  errorOf(error: unknown): LogboomError {
    if (!isLogboomError(error)) this.parts.onBug(error);
    return linkFailure(error, 'unknown');
  }

  /** As the server of links does. @throws LogboomError why the other node is refused */
  #admit(hello: Hello, access: CallMethod['access']): void {
    const { host } = this.parts;
    const isForMembers = access === 'members';
    const refusal =
      hellosDisagree(host.identity(), hello, isForMembers ? 'members' : 'open') ??
      (isForMembers && isMember(hello) ? host.admit(hello) : undefined);
    if (refusal !== undefined) throw refusal;
  }

  /** As the side that connects does, of the one that has answered. */
  refusalOf(hello: Hello, expected: NodeId): LogboomError | undefined {
    const { host } = this.parts;
    const own: LinkIdentity = host.identity();
    const disagreement = hellosDisagree(own, { ...hello, toNodeId: undefined }, 'members');
    if (disagreement !== undefined) return disagreement;
    if (!isMember(hello) || hello.nodeId !== expected) {
      return new LogboomError('NODE_MISMATCH', `node ${hello.nodeId} answers where node ${expected} is expected`);
    }
    return host.admit(hello satisfies MemberHello);
  }
}

/** The way to one other node; see `PeerLink` of `src/transport/http2`. */
class Peer {
  readonly nodeId: NodeId;
  machine: number;
  state: PeerStatus['state'] = 'waiting';
  readonly #links: SimulatedLinks;
  #session: Session | undefined;
  #queue: { readonly partitionId: PartitionId; readonly frames: readonly Uint8Array[] }[] = [];
  #lost = new Set<PartitionId>();
  #failedAttempts = 0;
  #heardMs = 0;
  #timer: Timer | undefined;
  #waiting: ((failure: LogboomError | undefined) => void)[] = [];

  constructor(links: SimulatedLinks, nodeId: NodeId, machine: number) {
    this.#links = links;
    this.nodeId = nodeId;
    this.machine = machine;
  }

  /** Resolves when there is a connection. @throws LogboomError NODE_UNREACHABLE when there is none to wait for */
  ready(): Promise<void> {
    if (this.state === 'connected') return Promise.resolve();
    if (this.state !== 'connecting') {
      return Promise.reject(unreachable(`node ${this.nodeId} cannot be reached`, 'not-sent'));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push((failure) => (failure === undefined ? resolve() : reject(failure)));
    });
  }

  connect(): void {
    const links = this.#links;
    const { clock, host } = links.parts;
    const { nodeId } = host.identity();
    if (this.state === 'stopped' || nodeId === undefined) return;
    this.state = 'connecting';
    const session = new Session(links, nodeId);
    this.#session = session;
    this.#wait(options.connectTimeoutMs, () =>
      this.#end(unreachable(`node ${this.nodeId} does not answer`, 'not-sent')),
    );
    const hello = links.helloTo(this.nodeId);
    links.transmit(this.machine, 0, (target) => {
      const { machine } = this;
      if (target === undefined) {
        links.answer(machine, 0, () => this.#failed(session, unreachable('no process there', 'not-sent')));
        return;
      }
      try {
        const answered = target.accept(session, hello);
        links.answer(machine, 0, () => this.#opened(session, answered, clock.monotonicMs()));
      } catch (error) {
        if (!isLogboomError(error)) throw error;
        const told = encodeError(error);
        links.answer(machine, told.length, () => this.#failed(session, decodeError(told)));
      }
    });
  }

  /** The other node has just connected to this one. */
  wake(): void {
    if (this.state !== 'waiting') return;
    this.#timer?.cancel();
    this.connect();
  }

  changeAddress(machine: number): void {
    if (machine === this.machine) return;
    this.machine = machine;
    if (this.state === 'stopped' || !this.#links.isRunning) return;
    this.#end(unreachable(`node ${this.nodeId} has moved`, 'unknown'));
    this.wake();
  }

  send(partitionId: PartitionId, frames: readonly Uint8Array[]): void {
    if (this.state === 'connected') return this.#sendMessages(partitionId, frames);
    if (this.state === 'connecting' && this.#queue.length < queuedMax) {
      this.#queue.push({ partitionId, frames });
      return;
    }
    if (this.state === 'stopped' || this.#lost.has(partitionId)) return;
    this.#lost.add(partitionId);
    this.#links.parts.host.onUnreachable(this.nodeId, [partitionId]);
  }

  sendPresence(epoch: number): void {
    if (this.state !== 'connected') return;
    this.#transmit(presenceBytes, (target, { from }) => target.parts.host.onPresence(from, epoch));
  }

  stop(): void {
    this.state = 'stopped';
    this.#timer?.cancel();
    if (this.#session !== undefined) this.#session.isAbandoned = true;
    this.#queue = [];
    this.#tellWaiting(new LogboomError('SHUTTING_DOWN', `the link to node ${this.nodeId} is closed`));
  }

  #opened(session: Session, hello: Hello, nowMs: number): void {
    if (session !== this.#session || this.state !== 'connecting') return;
    const refusal = this.#links.refusalOf(hello, this.nodeId);
    if (refusal !== undefined) return this.#end(refusal);
    this.state = 'connected';
    this.#failedAttempts = 0;
    this.#heardMs = nowMs;
    this.#lost = new Set();
    const queue = this.#queue;
    this.#queue = [];
    for (const { partitionId, frames } of queue) this.#sendMessages(partitionId, frames);
    this.#tellWaiting(undefined);
    this.#ping(session);
  }

  #sendMessages(partitionId: PartitionId, frames: readonly Uint8Array[]): void {
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    this.#transmit(bytes, (target, session) => target.take(session, partitionId, frames));
  }

  #transmit(bytes: number, take: (target: SimulatedLinks, session: Session) => void): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#links.transmit(this.machine, bytes, (target) => {
      if (session.isOpen && target !== undefined && target === session.server) take(target, session);
      else this.#reset(session);
    });
  }

  /** The other end knows nothing of the connection. */
  #reset(session: Session): void {
    this.#links.answer(this.machine, 0, () =>
      this.#failed(session, unreachable(`node ${this.nodeId}: the connection was reset`, 'unknown')),
    );
  }

  #ping(session: Session): void {
    const { clock } = this.#links.parts;
    if (clock.monotonicMs() - this.#heardMs > options.pingTimeoutMs) {
      return this.#end(unreachable(`node ${this.nodeId} does not answer pings`, 'unknown'));
    }
    this.#links.transmit(this.machine, 0, (target) => {
      if (!session.isOpen || target === undefined || target !== session.server) return this.#reset(session);
      this.#links.answer(this.machine, 0, () => {
        if (session === this.#session) this.#heardMs = clock.monotonicMs();
      });
    });
    this.#wait(options.pingIntervalMs, () => this.#ping(session));
  }

  #failed(session: Session, error: LogboomError): void {
    if (session === this.#session && (this.state === 'connecting' || this.state === 'connected')) this.#end(error);
  }

  #end(error: LogboomError): void {
    const { environment, host } = this.#links.parts;
    const hadWork = this.state === 'connected' || this.#queue.length > 0;
    if (this.#session !== undefined) this.#session.isAbandoned = true;
    this.#session = undefined;
    this.#queue = [];
    this.state = 'waiting';
    this.#failedAttempts += 1;
    const limits = { minMs: options.backoffMinMs, maxMs: options.backoffMaxMs };
    this.#wait(backoffMs(limits, this.#failedAttempts, environment.random), () => this.connect());
    this.#tellWaiting(unreachable(error.message, 'not-sent', error));
    if (hadWork) host.onUnreachable(this.nodeId, 'all');
  }

  #wait(delayMs: number, then: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#links.parts.clock.setTimer(delayMs, then);
  }

  #tellWaiting(failure: LogboomError | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell(failure);
  }
}
