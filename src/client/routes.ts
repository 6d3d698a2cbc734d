import { isLogboomError } from '../base/errors.js';
import { ClusterMap } from './cluster-map.js';
import { isClientError } from './errors.js';
import type { ClusterDescription } from './messages.js';
import { Suspects } from './suspects.js';

/** Where one attempt at a request goes. */
export interface Route {
  readonly address: string;
  /** Of the stream that the request is about; undefined when there is none, or it is not known. */
  readonly partition: number | undefined;
}

/**
 * Chooses the address for each attempt: that of the leader when it is known and answers, otherwise any node, which passes
 * requests on. All requests without a leader go to the same node, the home, until it fails.
 *
 * What a node advertises need not be reachable from here, and connecting in vain may take as long as a call has. So a
 * leader's address is used once it has answered something, and no request is risked on it before.
 */
export class Routes {
  readonly #given: readonly string[];
  readonly #map = new ClusterMap();
  readonly #suspects: Suspects;
  /** Addresses that have answered, and have not failed since. */
  readonly #proven = new Set<string>();
  #home: string;

  constructor(given: readonly string[], suspects = new Suspects()) {
    this.#given = given;
    this.#home = given[0] as string;
    this.#suspects = suspects;
  }

  /** The address of requests that no leader is known for. */
  get home(): string {
    return this.#home;
  }

  /** All that is known: first what the client was given, which is known to be meant for it. */
  get addresses(): readonly string[] {
    return [...new Set([...this.#given, ...this.#map.addresses])];
  }

  route(stream?: string): Route {
    const partition = stream === undefined ? undefined : this.#map.partitionOf(stream);
    const leader = this.#map.leaderOf(partition);
    return { address: leader !== undefined && this.#proven.has(leader) ? leader : this.#home, partition };
  }

  /** A leader's address that is to be asked whether it is there, before requests go to it. */
  unprovenLeader({ partition }: Route): string | undefined {
    const leader = this.#map.leaderOf(partition);
    const isOpen = leader !== undefined && !this.#proven.has(leader) && !this.#suspects.has(leader);
    return isOpen ? leader : undefined;
  }

  /** Whether the route leads to the node that is known to lead. */
  isDirect({ address, partition }: Route): boolean {
    return partition !== undefined && this.#map.leaderOf(partition) === address;
  }

  /** Whether there is nothing to choose: one address, and no other node is known. */
  get isSingle(): boolean {
    return this.addresses.length === 1;
  }

  /** Whether another node than at the end of the route is known to lead. */
  isElsewhere({ address, partition }: Route): boolean {
    const leader = this.#map.leaderOf(partition);
    return leader !== undefined && leader !== address && this.#proven.has(leader);
  }

  isSuspect(address: string): boolean {
    return this.#suspects.has(address);
  }

  /** To be asked about the cluster, the most promising first. */
  candidates(): readonly string[] {
    const { addresses } = this;
    const home = addresses.indexOf(this.#home);
    const inTurn = [...addresses.slice(home), ...addresses.slice(0, home)];
    const isSuspect = (address: string): boolean => this.#suspects.has(address);
    return [...inTurn.filter((address) => !isSuspect(address)), ...inTurn.filter(isSuspect)];
  }

  learn(description: ClusterDescription): void {
    this.#map.learn(description);
  }

  answered(address: string): void {
    this.#suspects.answered(address);
    this.#proven.add(address);
  }

  /**
   * Takes the failure of an attempt into account: the next one goes elsewhere where that may help.
   *
   * @returns whether what is known of the cluster may be out of date
   */
  failed(route: Route, error: unknown): boolean {
    if (isClientError(error, 'UNREACHABLE') || isClientError(error, 'CONNECTION_LOST')) {
      this.#leave(route.address);
      return true;
    }
    if (!isLogboomError(error)) return false;
    if (error.reason === 'SHUTTING_DOWN') this.#leave(route.address);
    if (error.reason === 'NOT_LEADER') this.#refused(route, error.facts['leader_address']);
    return ['SHUTTING_DOWN', 'NOT_LEADER', 'LEADERSHIP_LOST'].includes(error.reason);
  }

  /**
   * A node did not know better than to refuse: the one it names is asked next, otherwise any other.
   *
   * Two nodes that name each other do not make a loop: an attempt that follows a hint is an attempt like any other, with
   * its delay, and counted.
   */
  #refused({ address, partition }: Route, hint: string | number | undefined): void {
    const isKnown = typeof hint === 'string' && hint !== '' && hint !== address;
    if (partition !== undefined) {
      this.#map.forget(partition, address);
      if (isKnown) this.#map.hint(partition, hint);
    }
    if (address !== this.#home) return;
    // Without a table of partitions the hint still says where to go.
    if (isKnown && this.addresses.includes(hint)) this.#home = hint;
    else this.#moveHome();
  }

  #leave(address: string): void {
    this.#suspects.failed(address);
    this.#proven.delete(address);
    if (address === this.#home) this.#moveHome();
  }

  #moveHome(): void {
    const { addresses } = this;
    const index = addresses.indexOf(this.#home);
    const others = [...addresses.slice(index + 1), ...addresses.slice(0, index)];
    this.#home = others.find((address) => !this.#suspects.has(address)) ?? others[0] ?? this.#home;
  }
}
