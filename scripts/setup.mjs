// Brings a checkout to where it runs: packages installed as package-lock.json says, dist/ built from src/. Does nothing
// that is already done. Needs only Node and npm, and prints to stderr only.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const inRoot = (...parts) => path.join(root, ...parts);
const say = (message) => process.stderr.write(`setup: ${message}\n`);

/** Runs a command with its output on stderr; its failure is ours. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  if (result.error) say(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function install() {
  // What is installed depends on the lock, on the platform and, for native packages, on Node's ABI.
  const lockHash = createHash('sha256')
    .update(readFileSync(inRoot('package-lock.json')))
    .digest('hex');
  const wanted = `${lockHash} ${process.platform}-${process.arch} abi-${process.versions.modules}\n`;
  const stampPath = inRoot('node_modules', '.logboom-setup');
  if (existsSync(stampPath) && readFileSync(stampPath, 'utf8') === wanted) return;

  say('installing packages (npm ci)');
  const args = ['ci', '--include=dev', '--include=optional', '--loglevel=error'];
  const npm = process.env['npm_execpath'];
  if (npm && /npm-cli\.[cm]?js$/.test(npm)) run(process.execPath, [npm, ...args]);
  else run('npm', args, { shell: process.platform === 'win32' });
  // Written last: an interrupted install leaves no stamp and starts over.
  writeFileSync(stampPath, wanted);
}

function build() {
  const tsc = [inRoot('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'];
  // The record of what was emitted is worthless once output is missing: tsc would not write it again.
  if (!existsSync(inRoot('dist', 'cli', 'main.js'))) {
    say('building dist/');
    rmSync(inRoot('dist', '.tsbuildinfo'), { force: true });
  }
  run(process.execPath, tsc);
}

install();
build();
