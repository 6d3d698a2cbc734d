/** Attempts in simulated time: how many, how far apart, and when it is over. */
import { expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { Attempts, type Failure } from '../../src/object-store/attempts.js';
import { isObjectStoreError, ObjectStoreError } from '../../src/object-store/index.js';

const limits = {
  attemptTimeoutMs: 1000,
  overallTimeoutMs: 10_000,
  attemptsMax: 5,
  backoffMsMin: 100,
  backoffMsMax: 400,
};

const failed = new ObjectStoreError('UNAVAILABLE', 'it failed');
const judge =
  (passes: boolean) =>
  (error: unknown): Failure => ({ error: error as ObjectStoreError, passes });

function simulated<Result>(
  seed: number,
  work: (attempts: (signal?: AbortSignal) => Attempts, world: World) => Promise<Result>,
): Promise<Result> {
  const world = new World();
  const parts = { clock: new SimulatedClock(world), random: new RandomStream(seed, 'attempts'), limits };
  return settleLater(world, () => work((signal) => new Attempts({ ...parts, signal }), world));
}

test('an attempt that fails for good is the last', async () => {
  await simulated(1, async (attempts) => {
    let sent = 0;
    const run = attempts().run(() => (sent++, Promise.reject(failed)), judge(false));
    await expect(run).rejects.toBe(failed);
    expect(sent).toBe(1);
  });
});

test('waits are drawn by lots up to a limit that doubles', async () => {
  const longest = [0, 0, 0, 0];
  for (let seed = 1; seed <= 200; seed++) {
    await simulated(seed, async (attempts, world) => {
      const at: number[] = [];
      const run = attempts().run(() => (at.push(world.nowMs), Promise.reject(failed)), judge(true));
      await expect(run).rejects.toBe(failed);
      expect(at).toHaveLength(5);
      at.slice(1).forEach((sentMs, index) => {
        longest[index] = Math.max(longest[index]!, sentMs - at[index]!);
      });
    });
  }
  for (const [index, limitMs] of [100, 200, 400, 400].entries()) {
    expect(longest[index]).toBeLessThan(limitMs);
    expect(longest[index]).toBeGreaterThan(0.9 * limitMs);
  }
});

test('an attempt without an answer ends in time, and its signal tells it so', async () => {
  await simulated(1, async (attempts, world) => {
    const signals: AbortSignal[] = [];
    const run = attempts().run((signal) => (signals.push(signal), new Promise(() => {})), judge(true));
    const error: unknown = await run.catch((reason: unknown) => reason);
    expect(isObjectStoreError(error, 'UNAVAILABLE')).toBe(true);
    expect(String(error)).toContain('no answer within 1000 ms');
    expect(signals).toHaveLength(5);
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    expect(world.nowMs).toBeGreaterThan(5000);
    expect(world.nowMs).toBeLessThan(6100);
  });
});

test('several requests of one operation share its time', async () => {
  await simulated(1, async (attempts, world) => {
    const one = attempts();
    await one.run(() => world.sleep(900), judge(true));
    for (let request = 0; request < 9; request++) await one.run(() => world.sleep(999), judge(true));
    const run = one.run(() => world.sleep(999), judge(true));
    await expect(run).rejects.toSatisfy((error) => isObjectStoreError(error, 'UNAVAILABLE'));
    expect(world.nowMs).toBeLessThanOrEqual(10_000);
  });
});

test('the signal of the caller ends an attempt and a wait, with its reason', async () => {
  await simulated(1, async (attempts, world) => {
    const reason = new Error('enough');
    const controllers = [new AbortController(), new AbortController()] as const;
    const hanging = attempts(controllers[0].signal).run(() => new Promise(() => {}), judge(true));
    world.after(10, () => controllers[0].abort(reason));
    await expect(hanging).rejects.toBe(reason);
    expect(world.nowMs).toBe(10);
    let sent = 0;
    const waiting = attempts(controllers[1].signal).run(() => {
      if (++sent === 3) world.after(0, () => controllers[1].abort(reason));
      return Promise.reject(failed);
    }, judge(true));
    await expect(waiting).rejects.toBe(reason);
    expect(sent).toBe(3);
    const late = attempts(controllers[1].signal).run(() => Promise.resolve(++sent), judge(true));
    await expect(late).rejects.toBe(reason);
    expect(sent).toBe(3);
  });
});
