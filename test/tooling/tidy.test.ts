import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from './planted-tree.js';

const { layers } = createRequire(import.meta.url)('../../scripts/layers.cjs') as {
  readonly layers: Readonly<Record<string, readonly string[]>>;
};

const lineCountMax = 700;

/** Assembled, so that this file does not find itself. */
const leftovers = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);
const focusedTest = new RegExp(`\\b(test|it|describe|suite)(\\.\\w+)*\\.${'on' + 'ly'}\\b`);

interface SourceFile {
  readonly name: string;
  readonly lines: readonly string[];
}

function filesUnder(folder: string): readonly SourceFile[] {
  const directory = path.join(projectRoot, folder);
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return { name: path.relative(projectRoot, file), lines: readFileSync(file, 'utf8').trimEnd().split('\n') };
    });
}

function linesMatching(files: readonly SourceFile[], pattern: RegExp): readonly string[] {
  return files.flatMap(({ name, lines }) =>
    lines.flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}: ${line.trim()}`] : [])),
  );
}

const source = filesUnder('src');
const all = [...source, ...filesUnder('test'), ...filesUnder('cluster-sim'), ...filesUnder('bench')];

test('the patterns find what they are made for', () => {
  const name = 'planted.ts';
  expect(linesMatching([{ name, lines: ['a', '// TO' + 'DO: later'] }], leftovers)).toHaveLength(1);
  expect(
    linesMatching([{ name, lines: ['test.on' + "ly('a')", 'describe.skip.on' + "ly('a')"] }], focusedTest),
  ).toHaveLength(2);
  expect(linesMatching([{ name, lines: ['options.on' + 'ly', 'todos'] }], focusedTest)).toEqual([]);
});

test(`every file of src/ stays within ${lineCountMax} lines`, () => {
  expect(source.length).toBeGreaterThan(0);
  const tooLong = source.filter(({ lines }) => lines.length > lineCountMax);
  expect(tooLong.map(({ name, lines }) => `${name}: ${lines.length} lines`)).toEqual([]);
});

test('nothing is marked as left to be done', () => {
  expect(linesMatching(all, leftovers)).toEqual([]);
});

test('no test keeps the others from running', () => {
  expect(linesMatching(all, focusedTest)).toEqual([]);
});

test('every folder of src/ is a layer, and nothing lies beside them', () => {
  const entries = readdirSync(path.join(projectRoot, 'src'));
  expect(entries.filter((entry) => !(entry in layers))).toEqual([]);
});

test('the table of layers goes down only', () => {
  const order = Object.keys(layers);
  for (const [layer, allowed] of Object.entries(layers)) {
    for (const entry of allowed) {
      const below = entry.split('/')[0] ?? '';
      expect(order.indexOf(below), `${layer} imports ${entry}`).toBeGreaterThanOrEqual(0);
      expect(order.indexOf(below), `${layer} imports ${entry}`).toBeLessThan(order.indexOf(layer));
    }
  }
});
