import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const program = fileURLToPath(new URL('support/destroy-in-event.ts', import.meta.url));

test('a session that ends while a frame is handled does not spin', async () => {
  // In a process of its own: one that spins can only be killed.
  const run = promisify(execFile)(process.execPath, ['--import', 'tsx', program], {
    timeout: 20_000,
    killSignal: 'SIGKILL',
  });
  await expect(run).resolves.toMatchObject({ stderr: '' });
});
