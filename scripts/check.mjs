// `npm run check`: every static check, two at a time, all of them even when one fails. Prints the output of those that
// failed and one line each. Names as arguments run only those: `npm run check -- lint types`.
import { spawn } from 'node:child_process';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const concurrencyMax = 2;

/** Name to npm script; the slowest first. */
const checks = new Map([
  ['lint', 'lint'],
  ['types', 'types'],
  ['dead code', 'dead-code'],
  ['layers', 'layers'],
  ['format', 'format:check'],
]);

function runCheck(name, script) {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const output = [];
    const child = spawn('npm', ['run', '--silent', script], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => output.push(Buffer.from(`${error.message}\n`)));
    child.on('close', (code) => {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      const text = Buffer.concat(output).toString().trimEnd();
      const passed = code === 0;
      if (!passed && text) console.log(`\n--- ${name} (npm run ${script}) ---\n${text}\n`);
      console.log(`${passed ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
      resolve({ name, passed });
    });
  });
}

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !checks.has(name));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(', ')}. There are: ${[...checks.keys()].join(', ')}.`);
  process.exit(2);
}

const queue = [...checks].filter(([name]) => chosen.length === 0 || chosen.includes(name));
const results = [];
const worker = async () => {
  for (let next = queue.shift(); next; next = queue.shift()) results.push(await runCheck(...next));
};
await Promise.all(Array.from({ length: concurrencyMax }, worker));

const failed = results.filter((result) => !result.passed).map((result) => result.name);
console.log(failed.length === 0 ? `All ${results.length} checks passed.` : `Failed: ${failed.join(', ')}.`);
process.exitCode = failed.length === 0 ? 0 : 1;
