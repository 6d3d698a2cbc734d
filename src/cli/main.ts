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

const exitCode = await runCommandLine(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupted: interrupted.signal,
});
// Everything is done. What is left would only keep the process: standard input that was not read to its end, and attempts
// to connect to a machine that is gone, which grpc-js cannot call off and which take minutes to fail.
await Promise.all([written(process.stdout), written(process.stderr)]);
process.exit(exitCode);

/** Resolves when what was written has left the process, or nobody reads it any more. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // Of a reader that is gone the commands have heard.
    stream.on('error', () => resolve());
    stream.write('', () => resolve());
  });
}
