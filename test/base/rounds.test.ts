import { expect, test } from 'vitest';
import { Rounds } from '../../src/base/rounds.js';
import { ManualClock } from '../server/support/manual-clock.js';

test('one round after another, each a pause after the end of the one before, until it is stopped', async () => {
  const clock = new ManualClock();
  let begun = 0;
  let end = (): void => {};
  const rounds = new Rounds(clock, 100, () => {
    begun += 1;
    return new Promise<void>((resolve) => (end = resolve));
  });
  rounds.run();
  expect(begun).toBe(1);
  await clock.advance(1000);
  expect(begun).toBe(1);
  end();
  await clock.advance(99);
  expect(begun).toBe(1);
  await clock.advance(100);
  expect(begun).toBe(2);
  let hasStopped = false;
  const stopped = rounds.stop().then(() => (hasStopped = true));
  await clock.advance(1000);
  expect(hasStopped).toBe(false);
  end();
  await stopped;
  await clock.advance(1000);
  expect(begun).toBe(2);
});

test('a round hears of the stop, and what it throws is told by it', async () => {
  const clock = new ManualClock();
  let heard: AbortSignal | undefined;
  const rounds = new Rounds(clock, 100, (signal) => {
    heard = signal;
  });
  rounds.run();
  expect(heard?.aborted).toBe(false);
  await rounds.stop();
  expect(heard?.aborted).toBe(true);
  const failing = new Rounds(clock, 100, () => Promise.reject(new Error('broken')));
  failing.run();
  await expect(failing.stop()).rejects.toThrow('broken');
});
