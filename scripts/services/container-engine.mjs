// A container engine with compose, from Debian's packages. It is not started here: the test of the containers starts it, where
// none runs, and stops it again.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export const name = 'container engine';
export const consequence = 'the image and the compose file are not tested';

const packages = ['docker.io', 'docker-compose', 'debootstrap', 'iptables'];

const succeeds = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** What is missing of: a client, a compose command, an engine that runs or could be started. */
function missing() {
  const found = [];
  if (!succeeds('docker', '--version')) found.push('docker');
  if (composeCommand() === undefined) found.push('docker compose');
  if (!succeeds('docker', 'info') && !existsSync('/usr/sbin/dockerd') && !existsSync('/usr/bin/dockerd')) {
    found.push('dockerd');
  }
  return found;
}

function composeCommand() {
  if (succeeds('docker', 'compose', 'version')) return 'docker compose';
  return succeeds('docker-compose', 'version') ? 'docker-compose' : undefined;
}

/** The compose command; undefined when something is missing. */
export const where = () => (missing().length === 0 ? composeCommand() : undefined);

/** Answers why not, or undefined when it is there. */
export function install() {
  if (where() !== undefined) {
    console.log(`container engine: it is there, with ${where()}`);
    return undefined;
  }
  const lacking = `there is no ${missing().join(', ')}`;
  if (process.platform !== 'linux' || !existsSync('/usr/bin/apt-get'))
    return `${lacking}, and no apt-get to install it`;
  if (process.getuid?.() !== 0) return `${lacking}, and only root could install it`;
  const startedMs = performance.now();
  const options = {
    encoding: 'utf8',
    timeout: 10 * 60_000,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...packages],
  ]) {
    const result = spawnSync('apt-get', args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    if (result.status !== 0) {
      const said = (result.stderr ?? '').trim().split('\n').slice(-3).join('; ');
      return `apt-get ${args[0]} failed: ${result.error?.message ?? said}`;
    }
  }
  if (where() === undefined) return `there is no ${missing().join(', ')} even after apt-get install`;
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log(`container engine: installed in ${seconds} s, with ${where()}`);
  return undefined;
}
