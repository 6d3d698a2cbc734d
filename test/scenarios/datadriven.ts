/**
 * The file format: comments, then blocks of a directive line, optional input lines, `----`, and the expected output up
 * to the next blank line (or, when the separator is doubled, up to a second doubled one).
 */
export interface Argument {
  readonly key: string;
  readonly values: readonly string[];
}

export interface Directive {
  readonly line: number;
  readonly command: string;
  readonly args: readonly Argument[];
  readonly input: readonly string[];
  readonly expected: readonly string[];
  /** Lines of the file that hold `expected`: [from, to). */
  readonly expectedFrom: number;
  readonly expectedTo: number;
}

export class ScenarioSyntaxError extends Error {
  override readonly name = 'ScenarioSyntaxError';
}

const separator = '----';

export function parseScenario(text: string): Directive[] {
  const lines = text.split('\n');
  const directives: Directive[] = [];
  let at = 0;
  while (at < lines.length) {
    if (isSkipped(lines[at]!)) {
      at += 1;
      continue;
    }
    const start = at;
    let head = lines[at]!.trim();
    while (head.endsWith('\\')) {
      at += 1;
      head = `${head.slice(0, -1)} ${(lines[at] ?? '').trim()}`;
    }
    const input: string[] = [];
    at += 1;
    while (at < lines.length && lines[at]! !== separator) {
      input.push(lines[at]!);
      at += 1;
    }
    if (at >= lines.length) throw new ScenarioSyntaxError(`line ${start + 1}: no "${separator}" after the directive`);
    const block = expectedBlock(lines, at + 1);
    const { command, args } = parseLine(head, start + 1);
    directives.push({ line: start + 1, command, args, input, ...block.body });
    at = block.next;
  }
  return directives;
}

function isSkipped(line: string): boolean {
  const trimmed = line.trim();
  return trimmed === '' || trimmed.startsWith('#');
}

function expectedBlock(
  lines: readonly string[],
  from: number,
): { body: Pick<Directive, 'expected' | 'expectedFrom' | 'expectedTo'>; next: number } {
  const doubled = lines[from] === separator;
  const first = doubled ? from + 1 : from;
  let end = first;
  if (doubled) while (end < lines.length && !(lines[end] === separator && lines[end + 1] === separator)) end += 1;
  else while (end < lines.length && lines[end]!.trim() !== '') end += 1;
  const body = { expected: lines.slice(first, end), expectedFrom: first, expectedTo: end };
  return { body, next: doubled ? end + 2 : end };
}

/** `command key key=value key=(value, value)` */
export function parseLine(text: string, line: number): { command: string; args: Argument[] } {
  const parts = text.match(/[^\s=()]+=\([^)]*\)|[^\s=()]+=[^\s()]*|\S+/g) ?? [];
  const [command, ...rest] = parts;
  if (command === undefined) throw new ScenarioSyntaxError(`line ${line}: no directive`);
  return { command, args: rest.map(parseArgument) };
}

function parseArgument(text: string): Argument {
  const equals = text.indexOf('=');
  if (equals < 0) return { key: text, values: [] };
  const key = text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (!value.startsWith('(')) return { key, values: [value] };
  const inner = value.slice(1, -1).trim();
  return { key, values: inner === '' ? [] : inner.split(',').map((item) => item.trim()) };
}

export function valueOf(args: readonly Argument[], key: string): string | undefined {
  return args.find((arg) => arg.key === key)?.values[0];
}

export function valuesOf(args: readonly Argument[], key: string): readonly string[] {
  return args.find((arg) => arg.key === key)?.values ?? [];
}

/** Arguments without a value, as numbers. */
export function numbersOf(args: readonly Argument[]): number[] {
  return args.filter((arg) => arg.values.length === 0 && /^\d+$/.test(arg.key)).map((arg) => Number(arg.key));
}
