/** A port of loopback at which an attempt to connect neither succeeds nor fails, as at a machine that is gone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

// It never accepts anything: it is stopped before it could.
const listener = `
  const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('node:fs').writeSync(1, String(server.address().port));
    process.kill(process.pid, 'SIGSTOP');
  });`;

/** Until the test is finished. */
export async function unansweredPort(): Promise<number> {
  const child = spawn(process.execPath, ['-e', listener], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(output);
  // The kernel accepts a few in the name of the process; when its queue is full it leaves the next ones without an answer.
  const accepted: Socket[] = [];
  onTestFinished(() => accepted.forEach((socket) => socket.destroy()));
  for (;;) {
    const socket = connect({ host: '127.0.0.1', port });
    accepted.push(socket);
    socket.on('error', () => {});
    const connected = once(socket, 'connect').then(() => true);
    if (!(await Promise.race([connected, new Promise((resolve) => setTimeout(resolve, 300, false))]))) break;
  }
  accepted.pop()?.destroy();
  return port;
}
