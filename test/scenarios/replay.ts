import type { Random } from '../../src/base/ports/random.js';
import { parseScenario, type Directive } from './datadriven.js';
import { Group } from './group.js';
import { ConfChangeScript, runQuorum } from './pure-directives.js';

export interface Difference {
  readonly line: number;
  readonly directive: string;
  readonly text: string;
}

export interface Replayed {
  /** Facts that were compared: states, messages, entries, progress, errors, results. */
  readonly facts: number;
  readonly differences: readonly Difference[];
  /** The file with the actual output in place of the expected. */
  readonly rewritten: string;
}

/** Same sequence in every run, so that a file fails or passes for good. */
export function scenarioRandom(seed = 1): Random {
  let state = seed;
  return {
    nextUint32: () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state;
    },
  };
}

/** Replays one file. A crash of the core is a difference, and ends the file. */
export function replay(text: string): Replayed {
  const directives = parseScenario(text);
  const lines = text.split('\n');
  const differences: Difference[] = [];
  const edits: { directive: Directive; lines: readonly string[] }[] = [];
  const run = runnerFor(directives);
  let facts = 0;
  for (const directive of directives) {
    const shown = [directive.command, ...directive.args.map((arg) => arg.key)].join(' ');
    try {
      const { actual, exact } = run(directive);
      const expected = exact ? directive.expected : outcomesOf(directive.expected);
      facts += expected.length;
      edits.push({ directive, lines: actual.length === 0 ? ['ok'] : actual });
      for (const difference of compare(expected, exact ? actual : outcomesOf(actual))) {
        differences.push({ line: directive.line, directive: shown, text: difference });
      }
    } catch (error) {
      differences.push({
        line: directive.line,
        directive: shown,
        text: `crashed: ${(error as Error).stack ?? String(error)}`,
      });
      break;
    }
  }
  if (directives.length > 0 && facts === 0) {
    differences.push({ line: 1, directive: 'file', text: 'no fact was compared: this file proves nothing' });
  }
  if (directives.length === 0)
    differences.push({ line: 1, directive: 'file', text: 'no directive: this file proves nothing' });
  return { facts, differences, rewritten: rewrite(lines, edits) };
}

type Runner = (directive: Directive) => { actual: string[]; exact: boolean };

function runnerFor(directives: readonly Directive[]): Runner {
  const commands = new Set(directives.map((directive) => directive.command));
  if (commands.has('committed') || commands.has('vote'))
    return (directive) => ({ actual: runQuorum(directive), exact: true });
  if (commands.has('simple') || commands.has('enter-joint') || commands.has('leave-joint')) {
    const script = new ConfChangeScript();
    return (directive) => ({ actual: script.run(directive), exact: true });
  }
  const group = new Group(scenarioRandom());
  return (directive) => ({ actual: group.run(directive), exact: false });
}

/** Without log lines, indentation and "ok": one outcome a line. */
function outcomesOf(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && line !== 'ok' && !/^(DEBUG|INFO|WARN|ERROR|FATAL) /.test(line));
}

/** Line by line; after the first difference, what only one side has. */
function compare(expected: readonly string[], actual: readonly string[]): string[] {
  const at = expected.findIndex((line, i) => line !== actual[i]);
  const first = at < 0 ? expected.length : at;
  if (first === expected.length && actual.length === expected.length) return [];
  const context = contextOf(expected, first);
  const differences = [
    `${context}expected "${expected[first] ?? '(nothing more)'}", got "${actual[first] ?? '(nothing more)'}"`,
  ];
  const rest = new Map<string, number>();
  for (const line of actual.slice(first + 1)) rest.set(line, (rest.get(line) ?? 0) + 1);
  for (const line of expected.slice(first + 1)) {
    const left = rest.get(line) ?? 0;
    if (left === 0) differences.push(`missing "${line}"`);
    else rest.set(line, left - 1);
  }
  for (const [line, left] of rest)
    if (left > 0) differences.push(`unexpected "${line}"${left > 1 ? ` (${left} times)` : ''}`);
  return differences;
}

/** Which node and step of a longer output a line belongs to. */
function contextOf(lines: readonly string[], at: number): string {
  const head = lines.slice(0, at + 1).findLast((line) => line.startsWith('> '));
  return head === undefined ? '' : `${head.slice(2)}: `;
}

function rewrite(
  lines: readonly string[],
  edits: readonly { directive: Directive; lines: readonly string[] }[],
): string {
  const out = [...lines];
  for (const { directive, lines: actual } of edits.toReversed()) {
    out.splice(directive.expectedFrom, directive.expectedTo - directive.expectedFrom, ...actual);
  }
  return out.join('\n');
}
