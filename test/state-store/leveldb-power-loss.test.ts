/**
 * Kills and power loss on the real LevelDB. A process that writes is killed, or stopped while its directory is copied,
 * as a disk would be found that lost power in that moment; LevelDB's own log, which is never synced, is then damaged in
 * every way in which an unsynced file can be.
 *
 * LOGBOOM_ROUNDS sets the number of processes, LOGBOOM_SEED the first seed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, expect, test } from 'vitest';

import { nextInteger, type Random } from '../../src/base/ports/random.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { LevelDbProvider, openStateStore, type StateStore } from '../../src/state-store/index.js';
import { smallSizes } from './small-sizes.js';
import { crc32, expectExactState, groupOf, realClock, seededRandom, temporaryDirectory } from './support.js';

const rounds = Number(process.env['LOGBOOM_ROUNDS'] ?? 20);
const firstSeed = Number(process.env['LOGBOOM_SEED'] ?? 1);
const copiesPerProcess = 2;

const openAt = (directory: string): Promise<StateStore> =>
  openStateStore({ directory, provider: new LevelDbProvider(nodeDisk), clock: realClock, crc32, sizes: smallSizes });

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class Writer {
  readonly #process: ChildProcess;
  #output = '';
  #errors = '';

  constructor(directory: string, seed: number, valueBytes: number) {
    const script = fileURLToPath(new URL('writer-process.ts', import.meta.url));
    this.#process = spawn(process.execPath, ['--import', 'tsx', script, directory, String(seed), String(valueBytes)]);
    this.#process.stdout?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.#process.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
  }

  async started(): Promise<void> {
    while (!this.#output.includes('\n')) {
      if (this.#process.exitCode !== null) throw new Error(`the writer ended: ${this.#errors}`);
      await sleep(5);
    }
  }

  /** The last LSN that the process reported as persisted. */
  get reportedLsn(): number {
    return Number(this.#output.trimEnd().split('\n').at(-1));
  }

  /** Resolves when no thread of the process runs any more, and its reports have arrived. */
  async stop(): Promise<void> {
    this.#process.kill('SIGSTOP');
    const tasks = `/proc/${this.#process.pid}/task`;
    for (const task of await readdir(tasks)) {
      while (!/\) [TZ] /.test(await readFile(`${tasks}/${task}/stat`, 'utf8').catch(() => ') Z '))) await sleep(1);
    }
    await sleep(20);
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, 'close');
    this.#process.kill('SIGKILL');
    await ended;
    expect(this.#errors).toBe('');
  }
}

/** What may have become of an unsynced file: cut, with holes, with flipped bits, garbage, or untouched. */
async function damage(path: string, random: Random): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (let times = nextInteger(random, 3); times >= 0; times--) {
      const { size } = await file.stat();
      if (size === 0) return;
      const at = nextInteger(random, size);
      const block = Math.min(4096, size - at);
      const kind = nextInteger(random, 5);
      if (kind === 0) await file.truncate(at);
      if (kind === 1) await file.write(Buffer.alloc(block), 0, undefined, at);
      if (kind === 2) await file.write(Uint8Array.of(random.nextUint32()), 0, 1, at);
      if (kind === 3)
        await file.write(
          Uint8Array.from({ length: block }, () => random.nextUint32()),
          0,
          undefined,
          at,
        );
    }
  } finally {
    await file.close();
  }
}

/** @returns the bytes of log that were there */
async function damageLogs(directory: string, random: Random): Promise<number> {
  let bytes = 0;
  for (const database of ['records', 'index']) {
    for (const name of await readdir(join(directory, database))) {
      if (!/^\d+\.log$/.test(name)) continue;
      bytes += (await stat(join(directory, database, name))).size;
      await damage(join(directory, database, name), random);
    }
    // One that LevelDB would replay after all others.
    const garbage = Uint8Array.from({ length: 999 }, () => random.nextUint32());
    await writeFile(join(directory, database, '999999.log'), garbage);
  }
  return bytes;
}

async function expectSurvival(directory: string, reportedLsn: number, valueBytes: number): Promise<void> {
  const store = await openAt(directory);
  expect(store.appliedLsn, 'at or above the LSN that was reported before').toBeGreaterThanOrEqual(reportedLsn);
  await expectExactState(store, valueBytes);
  expect((await store.verify()).damaged).toEqual([]);
  // And it goes on from there.
  const next = groupOf(store.appliedLsn, store.appliedLsn + 30, valueBytes);
  await store.write(next);
  expect(await store.flush()).toBe(next.appliedLsn);
  await expectExactState(store, valueBytes);
  await store.close();
}

/** The rounds are worth nothing when there is nothing to lose, or nothing to keep. */
const reached = { logBytes: 0, lsn: 0 };
afterAll(() => {
  expect(reached.logBytes).toBeGreaterThan(0);
  expect(reached.lsn).toBeGreaterThan(0);
});

test.each(Array.from({ length: rounds }, (_, at) => firstSeed + at))(
  'killed, or without power, at any moment, a store opens as an exact prefix (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const random = seededRandom(seed);
    const root = await temporaryDirectory();
    const live = join(root, 'live');
    const valueBytes = 200 + nextInteger(random, 2000);
    const writer = new Writer(live, seed, valueBytes);
    await writer.started();
    let logBytes = 0;
    for (let copy = 0; copy < copiesPerProcess; copy++) {
      await sleep(10 + nextInteger(random, 150));
      await writer.stop();
      const reportedLsn = writer.reportedLsn;
      const remains = join(root, `remains-${copy}`);
      await cp(live, remains, { recursive: true });
      writer.resume();
      logBytes += await damageLogs(remains, random);
      await expectSurvival(remains, reportedLsn, valueBytes);
    }
    await writer.kill();
    await expectSurvival(live, writer.reportedLsn, valueBytes);
    reached.logBytes += logBytes;
    reached.lsn += writer.reportedLsn;
  },
);

test("what LevelDB's own log holds does not come back, even when it is whole", async () => {
  const root = await temporaryDirectory();
  const live = await openAt(join(root, 'live'));
  await live.write(groupOf(0, 10));
  await live.flush();
  await live.write(groupOf(10, 20));
  await cp(join(root, 'live'), join(root, 'copy'), { recursive: true });
  await live.close({ flush: false });
  const store = await openAt(join(root, 'copy'));
  expect([store.appliedLsn, store.persistedLsn]).toEqual([10, 10]);
  await expectExactState(store);
  await store.close();
});
