/** Addresses at which nothing answers, not even with a refusal: attempts to connect take minutes to fail. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { unansweredPort } from '../support/unanswered-port.js';
import { restlessSettings, ServerHost } from './support/server-process.js';

const root = path.resolve(import.meta.dirname, '../..');

test('a command whose work is done ends, though an attempt to connect to a machine that is gone is still under way', async () => {
  const host = await ServerHost.make(restlessSettings);
  await host.start();
  const address = `127.0.0.1:${await unansweredPort()},${host.address}`;
  const startedMs = performance.now();
  const child = spawn(process.execPath, ['bin/logboom.cjs', 'append', 's', 'LICENSE', '--address', address], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(output).toMatch(/^appended 201 records/);
  // It takes three seconds to go on with the other address, and the kernel two minutes to give up.
  expect(performance.now() - startedMs).toBeLessThan(30_000);
});
