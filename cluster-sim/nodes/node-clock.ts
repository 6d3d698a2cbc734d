/** The clock of one machine: skewed, drifting, jumping; and stopped for a process that is. */
import type { Clock, Timer } from '../../src/base/ports/clock.js';
import type { World } from '../engine/world.js';

/** Wall time at the start of every run; any would do. */
const epochMs = 1_700_000_000_000;

export class NodeClock implements Clock {
  readonly #world: World;
  #offsetMs: number;
  /** Milliseconds of this clock for one of the world. */
  #rate: number;
  /** Where the present rate began. */
  #anchorWorldMs = 0;
  #anchorClockMs = 0;
  /** Timers of earlier processes never fire. */
  #life = 0;
  #paused = false;
  #deferred: (() => void)[] = [];

  /** @param drift of the rate: 0.01 runs one percent fast */
  constructor(world: World, skewMs: number, drift: number) {
    this.#world = world;
    this.#offsetMs = epochMs + skewMs;
    this.#rate = 1 + drift;
  }

  wallMs(): number {
    return this.#offsetMs + this.monotonicMs();
  }

  monotonicMs(): number {
    return this.#anchorClockMs + (this.#world.nowMs - this.#anchorWorldMs) * this.#rate;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const life = this.#life;
    return this.#world.after(delayMs / this.#rate, () => this.#run(life, callback));
  }

  /** Runs something in the process of this moment: later if it is paused, never if it is dead by then. */
  inProcess(callback: () => void): void {
    this.#run(this.#life, callback);
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  jumpWall(byMs: number): void {
    this.#offsetMs += byMs;
  }

  setDrift(drift: number): void {
    this.#anchorClockMs = this.monotonicMs();
    this.#anchorWorldMs = this.#world.nowMs;
    this.#rate = 1 + drift;
  }

  /** As SIGSTOP: the machine's time goes on. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const callback of deferred) this.#world.after(0, callback);
  }

  /** The process is gone, with all it waited for. */
  endProcess(): void {
    this.#life += 1;
    this.#paused = false;
    this.#deferred = [];
  }

  #run(life: number, callback: () => void): void {
    if (life !== this.#life) return;
    if (this.#paused) this.#deferred.push(() => this.#run(life, callback));
    else callback();
  }
}
