// `npm run sim -- ARGUMENTS`: bundles the simulator and runs it (docs/simulator.md).
//
// A bundle, because tsx keeps the names of functions by a call for every closure that is made, which takes a quarter of
// a simulation's time. Named after its content, so that a run whose sources change meanwhile starts all its processes
// from the same bundle.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';

const root = path.dirname(import.meta.dirname);
const cache = path.join(root, 'node_modules', '.cache', 'logboom-simulator');
const bundleAgeMsMax = 24 * 3600 * 1000;
/** The global of that name is a getter, which optimized code does not look through. */
const bufferShim = path.join(import.meta.dirname, 'buffer-shim.mjs');

/**
 * Most of what a simulation allocates is garbage within an event or two: a large nursery leaves less to copy. And nearly all
 * code runs thousands of times: what the compiler is to know about it is noted from the first call on.
 */
const nodeOptions = [
  '--no-lazy-feedback-allocation',
  '--enable-source-maps',
  '--max-semi-space-size=64',
  '--min-semi-space-size=64',
  '--single-threaded-gc',
];

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [path.join(root, 'cluster-sim', 'main.ts')],
    absWorkingDir: root,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    inject: [bufferShim],
    outfile: path.join(cache, 'main.mjs'),
    write: false,
    logLevel: 'error',
  });
  const [{ contents }] = outputFiles;
  const file = path.join(cache, `main-${createHash('sha256').update(contents).digest('hex').slice(0, 16)}.mjs`);
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    const old = path.join(cache, name);
    if (Date.now() - statSync(old).mtimeMs > bundleAgeMsMax) rmSync(old, { force: true });
  }
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, contents);
  renameSync(partial, file);
  return file;
}

const child = spawn(process.execPath, [...nodeOptions, await bundle(), ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
