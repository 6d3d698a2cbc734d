// An S3-compatible store, built from the Go module proxy.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { cache } from './cache.mjs';

export const name = 'S3 server';
export const consequence = 'nothing is tested against a real S3 store';

const server = {
  package: 'github.com/versity/versitygw/cmd/versitygw',
  module: 'github.com/versity/versitygw',
  version: 'v1.8.0',
  // Of the module's content, as Go writes it into what it builds.
  sum: 'h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=',
  goMinor: 25,
};

const platform = `${process.platform}-${process.arch}`;
const directory = path.join(cache, `versitygw-${server.version}-${platform}`);
const binary = path.join(directory, 'versitygw');

/** What is wrong with the installed one; undefined when nothing is. */
function problemOf(file) {
  if (!existsSync(file)) return 'it is not installed';
  const answer = spawnSync(file, ['--version'], { encoding: 'utf8', timeout: 30_000 });
  if (answer.status !== 0) return `${file} --version failed: ${answer.error?.message ?? answer.stderr.trim()}`;
  return undefined;
}

/** Whether it was built from exactly this version. */
function provenanceProblem(file) {
  const { stdout = '' } = spawnSync('go', ['version', '-m', file], { encoding: 'utf8' });
  const line = stdout.split('\n').find((each) => each.startsWith('\tmod\t')) ?? '';
  const wanted = `\tmod\t${server.module}\t${server.version}\t${server.sum}`;
  return line.trimEnd() === wanted ? undefined : `it was built from ${JSON.stringify(line.trim())}`;
}

function goProblem() {
  const { status, stdout = '', error } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  if (error || status !== 0) return 'there is no Go here to build it with';
  const minor = Number(/^go1\.(\d+)/.exec(stdout)?.[1]);
  return minor >= server.goMinor ? undefined : `it needs Go 1.${server.goMinor}, here is ${stdout.trim()}`;
}

/** Answers why not, or undefined when it is there. */
export function install() {
  if (problemOf(binary) === undefined) {
    console.log(`S3 server: versitygw ${server.version} is there: ${binary}`);
    return undefined;
  }
  const missing = goProblem();
  if (missing !== undefined) return missing;
  console.log(`S3 server: building versitygw ${server.version} (some minutes)`);
  const startedMs = performance.now();
  mkdirSync(cache, { recursive: true });
  // In a directory of its own until it is whole, so that two that install at a time do not meet.
  const staging = mkdtempSync(path.join(cache, '.staging-'));
  try {
    const build = spawnSync('go', ['install', '-ldflags=-s -w', `${server.package}@${server.version}`], {
      cwd: staging,
      env: { ...process.env, GOBIN: staging, CGO_ENABLED: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      timeout: 20 * 60_000,
    });
    if (build.status !== 0) {
      const said = build.stderr.split('\n').filter((line) => line && !line.startsWith('go: downloading'));
      return `go install failed: ${build.error?.message ?? said.slice(-5).join('; ')}`;
    }
    const built = path.join(staging, 'versitygw');
    const problem = problemOf(built) ?? provenanceProblem(built);
    if (problem !== undefined) return problem;
    mkdirSync(directory, { recursive: true });
    renameSync(built, binary);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log(`S3 server: built in ${seconds} s and installed as ${binary}`);
  return undefined;
}

/** The path of the server; undefined when it is not installed. */
export const where = () => (problemOf(binary) === undefined ? binary : undefined);
