import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process as it is found now. */
export interface ProcessState {
  /** When it began, in units of the system: with the pid it tells a process from another that got the same pid later. */
  readonly start: string;
  readonly command: string;
  /** Stopped by a signal, as with SIGSTOP. */
  readonly isPaused: boolean;
}

/** Undefined when there is no such process, or it has ended and only waits to be collected. */
export function findProcess(pid: number): ProcessState | undefined {
  return process.platform === 'linux' ? findInProc(pid) : findWithPs(pid);
}

function findInProc(pid: number): ProcessState | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    // The name in parentheses may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = '', start] = [fields[0], fields[19]];
    if (start === undefined || 'ZX'.includes(state)) return undefined;
    return { start, command, isPaused: state === 'T' };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');

function findWithPs(pid: number): ProcessState | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'stat=', '-o', 'lstart=', '-o', 'command=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    // `S+   Mon Jan  5 10:11:12 2026 node ...`
    const [, state = '', start = '', command = ''] =
      /^(\S+)\s+(\w+\s+\w+\s+\d+\s+[\d:]+\s+\d+)\s+(.*)$/m.exec(text.trim()) ?? [];
    if (start === '' || state.startsWith('Z')) return undefined;
    return { start, command, isPaused: state.startsWith('T') };
  } catch {
    // Its exit code when there is no such process.
    return undefined;
  }
}
