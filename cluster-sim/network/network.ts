/** Links between nodes, one a direction, each with its own faults. Bytes go in, bytes come out: later, twice, or never. */
import type { RandomStream } from '../engine/random.js';
import type { World } from '../engine/world.js';
import type { CutLink } from './topologies.js';

/** Odds are per message. */
export interface NetworkWeather {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  readonly loss: number;
  readonly duplicate: number;
  /** A message overtakes others: it skips the order of its link, or is held back. */
  readonly reorder: number;
  /** Extra delay of a message held back, at most. */
  readonly reorderMsMax: number;
  /** An old message of the link is delivered once more, beside a new one. */
  readonly replayOld: number;
  /** Of every link, in each direction; 0 when it is not limited. */
  readonly bytesPerMs: number;
}

export const fairWeather: NetworkWeather = {
  latencyMsMin: 0.2,
  latencyMsMax: 1,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderMsMax: 0,
  replayOld: 0,
  bytesPerMs: 0,
};

export interface NetworkCounts {
  sent: number;
  bytes: number;
  delivered: number;
  lost: number;
  cut: number;
  duplicated: number;
  reordered: number;
  replayed: number;
  delayedBySlowLink: number;
  queuedForBandwidth: number;
}

/** What waits at most for a slow link. */
const queueMsMax = 3000;

/** Messages of a link that may be replayed. */
const remembered = 16;

interface Link {
  /** How many faults cut it: they may overlap. */
  cuts: number;
  /** Bytes a millisecond of a slow link; 0 when it is not limited. */
  bytesPerMs: number;
  extraLatencyMs: number;
  /** In order, unless a fault says otherwise: no delivery before this time. */
  lastDeliveryMs: number;
  busyUntilMs: number;
  readonly old: ((() => void) | undefined)[];
  oldAt: number;
}

export class Network {
  readonly counts: NetworkCounts = {
    sent: 0,
    bytes: 0,
    delivered: 0,
    lost: 0,
    cut: 0,
    duplicated: 0,
    reordered: 0,
    replayed: 0,
    delayedBySlowLink: 0,
    queuedForBandwidth: 0,
  };
  weather: NetworkWeather;
  readonly #world: World;
  readonly #random: RandomStream;
  readonly #links = new Map<number, Link>();
  #healings = 0;

  constructor(world: World, random: RandomStream, weather: NetworkWeather) {
    this.#world = world;
    this.#random = random;
    this.weather = weather;
  }

  /** Calls `deliver` when the message arrives; more than once when it is duplicated or replayed. */
  send(from: number, to: number, bytes: number, deliver: () => void): void {
    const { counts, weather } = this;
    const link = this.#link(from, to);
    counts.sent += 1;
    counts.bytes += bytes;
    if (link.cuts > 0) {
      counts.cut += 1;
      return;
    }
    if (weather.replayOld > 0) this.#replay(link, deliver);
    if (this.#random.chance(weather.loss)) {
      counts.lost += 1;
      return;
    }
    this.#schedule(link, bytes, deliver);
    if (this.#random.chance(weather.duplicate)) {
      counts.duplicated += 1;
      this.#schedule(link, bytes, deliver);
    }
  }

  /** Cuts directions until the answered function is called, once. Healing mends them, too; calling it then does nothing. */
  cut(cuts: readonly CutLink[]): () => void {
    const links = cuts.map(({ from, to }) => this.#link(from, to));
    const healings = this.#healings;
    for (const link of links) link.cuts += 1;
    return () => {
      if (healings === this.#healings) for (const link of links) link.cuts -= 1;
    };
  }

  slow(from: number, to: number, extraLatencyMs: number, bytesPerMs: number): void {
    Object.assign(this.#link(from, to), { extraLatencyMs, bytesPerMs });
  }

  isCut(from: number, to: number): boolean {
    return this.#link(from, to).cuts > 0;
  }

  /** All faults end; what is under way still arrives. */
  heal(): void {
    this.weather = fairWeather;
    this.#healings += 1;
    const healed = { cuts: 0, extraLatencyMs: 0, bytesPerMs: 0, busyUntilMs: 0, lastDeliveryMs: 0 };
    for (const link of this.#links.values()) Object.assign(link, healed);
  }

  #schedule(link: Link, bytes: number, deliver: () => void): void {
    const { weather } = this;
    const { nowMs } = this.#world;
    let atMs = nowMs + this.#random.between(weather.latencyMsMin, weather.latencyMsMax) + link.extraLatencyMs;
    const bytesPerMs = link.bytesPerMs > 0 ? link.bytesPerMs : weather.bytesPerMs;
    if (bytesPerMs > 0) {
      // The queue of a slow link is bounded, as that of a router.
      if (link.busyUntilMs > nowMs + queueMsMax) {
        this.counts.lost += 1;
        return;
      }
      if (link.busyUntilMs > nowMs) this.counts.queuedForBandwidth += 1;
      link.busyUntilMs = Math.max(link.busyUntilMs, nowMs) + bytes / bytesPerMs;
      atMs += link.busyUntilMs - nowMs;
      if (link.bytesPerMs > 0) this.counts.delayedBySlowLink += 1;
    }
    if (this.#random.chance(weather.reorder)) {
      this.counts.reordered += 1;
      atMs += this.#random.between(0, weather.reorderMsMax);
    } else {
      atMs = Math.max(atMs, link.lastDeliveryMs);
      link.lastDeliveryMs = atMs;
    }
    // A cut of the link also loses what is on its way.
    this.#world.at(atMs, () => {
      if (link.cuts > 0) {
        this.counts.cut += 1;
        return;
      }
      this.counts.delivered += 1;
      deliver();
    });
  }

  #replay(link: Link, deliver: () => void): void {
    if (this.#random.chance(this.weather.replayOld)) {
      const old = link.old[this.#random.integer(0, remembered - 1)];
      if (old !== undefined) {
        this.counts.replayed += 1;
        this.#world.after(this.#random.between(0, 50), old);
      }
    }
    link.old[link.oldAt] = deliver;
    link.oldAt = (link.oldAt + 1) % remembered;
  }

  #link(from: number, to: number): Link {
    const key = from * 256 + to;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { cuts: 0, bytesPerMs: 0, extraLatencyMs: 0, lastDeliveryMs: 0, busyUntilMs: 0, old: [], oldAt: 0 };
      this.#links.set(key, link);
    }
    return link;
  }
}
