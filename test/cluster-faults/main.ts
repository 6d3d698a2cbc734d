/**
 * A real cluster under faults:
 *
 *   npm run faults -- [--minutes 30 | --seconds 90] [--seed N] [--only NAME,...] [--list] [--require]
 *
 * Prints a line a fault on a terminal, and JSON lines elsewhere or with --json. What this machine does not allow is left out and
 * said; with --require that is a failure. Exit status: 0, or 1 when something was found, with the logs of the nodes and the
 * histories kept. The seed says what is done to whom and in which order; real processes do not repeat with it.
 */
import { parseArgs } from 'node:util';
import { findCapabilities } from './capabilities.js';
import { faults } from './faults.js';
import { FaultsRun } from './faults-run.js';
import type { FaultsEvent, RunResult } from './faults-run.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
    json: { type: 'boolean', default: !process.stdout.isTTY },
    require: { type: 'boolean', default: false },
  },
});

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const printJson = (event: object): void => print(JSON.stringify(event));
const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const clock = (seconds: number): string =>
  `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;

function report(event: FaultsEvent): void {
  if (values.json) return printJson(event);
  switch (event.type) {
    case 'started':
      return print(`nodes at ${event.addresses.join(', ')}, in ${event.directory}`);
    case 'agreed':
      return print(`[${clock(event.atSeconds)}] all nodes are ready`);
    case 'fault': {
      const { atSeconds, what, heldMs, longestGapMs, recoveredMs, operations } = event;
      const times = `${inSeconds(heldMs)}, longest without an append ${inSeconds(longestGapMs)}`;
      print(
        `[${clock(atSeconds)}] ${what}: ${times}; appends again after ${inSeconds(recoveredMs)}; ${operations} operations`,
      );
    }
  }
}

function conclude(result: RunResult, seed: number): void {
  const { violation, directory, operationsChecked, recordsRead, answers, recoveredMsMax } = result;
  if (values.json) {
    const { directory: kept, ...rest } = result;
    printJson({
      type: 'result',
      seed,
      passed: violation === undefined,
      ...rest,
      ...(violation ? { directory: kept } : {}),
    });
    return;
  }
  const counts = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  print(`faults: ${counts(result.faults)}`);
  print(`answers: ${counts(answers)}`);
  print(
    `${operationsChecked} operations checked for linearizability, ${recordsRead} records read; ` +
      `after a fault appends succeeded again within ${inSeconds(recoveredMsMax)}`,
  );
  if (violation === undefined) return print('passed');
  print(`FAILED, seed ${seed}, after ${inSeconds(violation.atMs)}: ${violation.invariant}: ${violation.message}`);
  print(`logs of the nodes and histories are in ${directory}`);
}

if (values.list) {
  for (const { name } of faults) print(name);
} else {
  const capabilities = findCapabilities();
  const seed = values.seed === undefined ? Date.now() % 0x1_0000_0000 : Number(values.seed);
  const seconds = values.seconds === undefined ? 60 * Number(values.minutes ?? '5') : Number(values.seconds);
  if (!Number.isFinite(seed) || !(seconds > 0)) throw new Error('--minutes, --seconds and --seed take numbers');
  if (values.json) printJson({ type: 'run', seed, seconds, leftOut: capabilities.leftOut });
  else {
    print(`seed ${seed}, ${clock(Math.round(seconds))}`);
    for (const reason of capabilities.leftOut) print(`left out: ${reason}`);
  }
  if (values.require && !(capabilities.network && capabilities.smallDisks !== undefined)) {
    throw new Error(`this machine does not allow all faults: ${capabilities.leftOut.join('; ')}`);
  }
  const only = values.only.split(',').filter((name) => name !== '');
  const result = await new FaultsRun({ seconds, seed, only, capabilities, report }).run();
  conclude(result, seed);
  process.exitCode = result.violation === undefined ? 0 : 1;
}
