// What the Python example needs: a virtual environment with the packages of examples/python/requirements.txt, from PyPI.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { cache } from './cache.mjs';

export const name = 'Python client';
export const consequence = 'no client in another language is tested';

const requirements = path.resolve(import.meta.dirname, '../../examples/python/requirements.txt');

/** Of a Python and a list of packages: another one of either is another environment. */
function environmentOf(version) {
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 12);
  return path.join(cache, `python-${hash}`);
}

function systemPython() {
  const { status, stdout = '' } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
  const version = /^Python 3\.(\d+)\./.exec(stdout);
  return status === 0 && version !== null ? { version: stdout.trim(), minor: Number(version[1]) } : undefined;
}

/** The interpreter that has the packages; undefined when it is not installed. */
export function where() {
  const system = systemPython();
  if (system === undefined) return undefined;
  const python = path.join(environmentOf(system.version), 'bin', 'python');
  return existsSync(python) ? python : undefined;
}

/** Answers why not, or undefined when it is there. */
export function install() {
  const there = where();
  if (there !== undefined) {
    console.log(`Python client: its packages are there: ${there}`);
    return undefined;
  }
  const system = systemPython();
  if (system === undefined) return 'there is no python3 here';
  if (system.minor < 10) return `it needs Python 3.10, here is ${system.version}`;
  const startedMs = performance.now();
  mkdirSync(cache, { recursive: true });
  // In a directory of its own until it is whole. Only its `python` is used, which finds its packages wherever it lies.
  const staging = mkdtempSync(path.join(cache, '.staging-'));
  try {
    for (const [command, ...args] of [
      ['python3', '-m', 'venv', staging],
      [path.join(staging, 'bin', 'python'), '-m', 'pip', 'install', '--quiet', '--requirement', requirements],
    ]) {
      const result = spawnSync(command, args, { encoding: 'utf8', timeout: 10 * 60_000 });
      if (result.status === 0) continue;
      const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trim().split('\n').slice(-3).join('; ');
      return `${args.slice(0, 3).join(' ')} failed: ${result.error?.message ?? said}`;
    }
    renameSync(staging, environmentOf(system.version));
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log(`Python client: packages installed in ${seconds} s: ${where()}`);
  return undefined;
}
