/** What this machine lets us do to a network and to disks. What it does not is left out, and said. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface Capabilities {
  /** Each node in a network namespace of its own, behind a bridge. */
  readonly network: boolean;
  /** How a network is made slow; undefined when it cannot be. */
  readonly slowNetwork: 'netem' | 'tbf' | undefined;
  /** Each node on a small file system of its own: ext4 in a file, which syncs for real, or tmpfs. */
  readonly smallDisks: 'ext4' | 'tmpfs' | undefined;
  /** In plain words, what is left out and why. */
  readonly leftOut: readonly string[];
}

/** @throws Error with what the command wrote */
export function run(command: string, ...options: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, options, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${options.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** Undefined when it works, otherwise why it does not. */
function problemOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}

export function findCapabilities(): Capabilities {
  const leftOut: string[] = [];
  const leave = (what: string, why: string): undefined => void leftOut.push(`${what}: ${why}`);
  const isRoot = process.getuid?.() === 0;
  const smallDisks = isRoot ? diskKind(leave) : leave('full disks', 'not root');
  if (!isRoot) {
    leave('network cuts and slow networks', 'not root');
    return { network: false, slowNetwork: undefined, smallDisks, leftOut };
  }
  const name = `lbprobe${process.pid}`;
  const inside = (...options: readonly string[]): string => run('ip', 'netns', 'exec', name, ...options);
  const problem = problemOf(() => {
    run('ip', 'netns', 'add', name);
    inside('ip', 'link', 'set', 'lo', 'up');
    inside('iptables', '-A', 'INPUT', '-s', '192.0.2.1', '-j', 'DROP');
  });
  let slowNetwork: Capabilities['slowNetwork'];
  if (problem === undefined) {
    // On a veth pair, which is what nodes have: some machines refuse their own loopback.
    const qdisc = (...options: readonly string[]): string | undefined =>
      problemOf(() => inside('tc', 'qdisc', 'replace', 'dev', 'probe0', 'root', ...options));
    const veth = problemOf(() => inside('ip', 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'name', 'probe1'));
    if (veth === undefined && qdisc('netem', 'delay', '10ms') === undefined) slowNetwork = 'netem';
    else if (veth === undefined && qdisc('tbf', 'rate', '1mbit', 'burst', '16kb', 'latency', '100ms') === undefined)
      slowNetwork = 'tbf';
    else leave('slow networks', 'tc has neither netem nor tbf here');
    if (slowNetwork === 'tbf')
      leave('delays of the network by tc netem', 'the kernel has none; limited bandwidth stands in');
  }
  problemOf(() => run('ip', 'netns', 'del', name));
  if (problem !== undefined) leave('network cuts and slow networks', problem);
  return { network: problem === undefined, slowNetwork, smallDisks, leftOut };
}

function diskKind(leave: (what: string, why: string) => undefined): Capabilities['smallDisks'] {
  const directory = mkdtempSync(path.join(tmpdir(), 'logboom-probe-'));
  const image = `${directory}.img`;
  try {
    const ext4 = problemOf(() => {
      run('truncate', '-s', '16M', image);
      run('mkfs.ext4', '-q', '-m', '0', image);
      run('mount', '-o', 'loop', image, directory);
      run('umount', directory);
    });
    if (ext4 === undefined) return 'ext4';
    const tmpfs = problemOf(() => {
      run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory);
      run('umount', directory);
    });
    return tmpfs === undefined ? 'tmpfs' : leave('full disks', tmpfs);
  } finally {
    for (const each of [directory, image]) rmSync(each, { recursive: true, force: true });
  }
}
