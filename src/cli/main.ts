/** The `logboom` command; started by bin/logboom.cjs. */
import { StopRequests } from '../base/stop-requests.js';
import { runCommandLine } from './program.js';

const interrupted = new AbortController();

// A node handles signals by itself; client commands end in good order, and at the second signal at once.
const command = process.argv[2];
if (command !== 'dev' && command !== 'server') {
  const requests = new StopRequests();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      const request = requests.take(signal, performance.now());
      if (request === 'stop') interrupted.abort(new Error(signal));
      else if (request === 'now') process.exit(1);
    });
  }
}

process.exitCode = await runCommandLine(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupted: interrupted.signal,
});
// Standard input that was not read to its end would keep the process alive.
process.stdin.unref?.();
