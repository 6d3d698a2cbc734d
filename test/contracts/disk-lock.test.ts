/** The lock of a data directory against another process: held, and given back by kill -9. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { isDiskError } from '../../src/base/ports/disk.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';

/** What `takeLock` does, without TypeScript. */
const holder = `
  import { ClassicLevel } from 'classic-level';
  await new ClassicLevel(process.argv[1]).open();
  console.log('held');
  setInterval(() => {}, 1000);
`;

test('a lock of another process is respected until that process is killed', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-lock-`);
  const path = `${directory}/lock`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', holder, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('../..', import.meta.url),
  });
  try {
    await once(child.stdout, 'data');
    await expect(nodeDisk.lock(path)).rejects.toSatisfy((error) => isDiskError(error, 'EBUSY'));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const lock = await nodeDisk.lock(path);
    await lock.release();
  } finally {
    child.kill('SIGKILL');
    await rm(directory, { recursive: true });
  }
});

test('a lock that could not be taken for another reason was said to be held', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-lock-`);
  try {
    await writeFile(`${directory}/lock`, 'not a directory');
    await expect(nodeDisk.lock(`${directory}/lock`)).rejects.toSatisfy((error) => isDiskError(error, 'EOTHER'));
  } finally {
    await rm(directory, { recursive: true });
  }
});
