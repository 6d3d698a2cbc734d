import path from 'node:path';
import { ESLint } from 'eslint';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makePlantedTree } from './planted-tree.js';
import type { PlantedTree } from './planted-tree.js';

// The determinism rules, and the type-aware ones, proved to fire: one planted file a case.

const cases: readonly { readonly file: string; readonly code: string; readonly rule: string | undefined }[] = [
  // The deterministic state machines.
  { file: 'src/raft/now.ts', code: 'export const a = Date.now();', rule: 'no-restricted-globals' },
  { file: 'src/streams/date.ts', code: 'export const a = new Date(5);', rule: 'no-restricted-globals' },
  { file: 'src/metadata/random.ts', code: 'export const a = Math.random();', rule: 'no-restricted-properties' },
  { file: 'src/raft/timer.ts', code: 'export const a = setTimeout(() => {}, 1);', rule: 'no-restricted-globals' },
  { file: 'src/streams/env.ts', code: "export const a = process.env['A'];", rule: 'no-restricted-globals' },
  { file: 'src/metadata/buffer.ts', code: 'export const a = Buffer.alloc(1);', rule: 'no-restricted-globals' },
  { file: 'src/raft/fs.ts', code: "export { readFile } from 'node:fs/promises';", rule: 'no-restricted-imports' },
  { file: 'src/raft/old-fs.ts', code: "export { readFile } from 'fs/promises';", rule: 'no-restricted-imports' },
  { file: 'src/raft/crc.ts', code: "export { crc32 } from 'node:zlib';", rule: 'no-restricted-imports' },
  { file: 'src/metadata/sort.ts', code: "export const a = 'a'.localeCompare('b');", rule: 'no-restricted-syntax' },
  // What runs behind the ports.
  { file: 'src/wal/random.ts', code: 'export const a = Math.random();', rule: 'no-restricted-properties' },
  { file: 'src/partition/now.ts', code: 'export const a = Date.now();', rule: 'no-restricted-properties' },
  { file: 'src/snapshot/date.ts', code: 'export const a = new Date();', rule: 'no-restricted-syntax' },
  { file: 'src/snapshot/format.ts', code: 'export const a = new Date(5).toISOString();', rule: undefined },
  { file: 'src/transport/timer.ts', code: 'export const a = setInterval(() => {}, 1);', rule: 'no-restricted-globals' },
  { file: 'src/transport/net.ts', code: "export { connect } from 'node:net';", rule: 'no-restricted-imports' },
  { file: 'src/transport/http2.ts', code: "export { connect } from 'node:http2';", rule: 'no-restricted-imports' },
  { file: 'src/transport/http2/connect.ts', code: "export { connect } from 'node:http2';", rule: undefined },
  { file: 'src/transport/http2/tcp.ts', code: "export { connect } from 'node:net';", rule: 'no-restricted-imports' },
  { file: 'src/wal/fs.ts', code: "export { openSync } from 'node:fs';", rule: 'no-restricted-imports' },
  {
    file: 'src/wal/buffer.ts',
    code: "import { Buffer } from 'node:buffer';\nexport const a = Buffer.alloc(1);",
    rule: undefined,
  },
  { file: 'src/wal/crc.ts', code: "export { crc32 } from 'node:zlib';", rule: undefined },
  { file: 'src/object-store/zip.ts', code: "export { gzip } from 'node:zlib';", rule: 'no-restricted-imports' },
  { file: 'src/snapshot/hash.ts', code: "export { createHash } from 'node:crypto';", rule: undefined },
  { file: 'src/snapshot/id.ts', code: "export { randomUUID } from 'node:crypto';", rule: 'no-restricted-imports' },
  {
    file: 'src/base/ports/b.ts',
    code: 'export const a = (b: Buffer): number => b.length;\nBuffer.alloc(1);',
    rule: 'no-restricted-globals',
  },
  { file: 'src/base/path.ts', code: "export { join } from 'node:path';", rule: 'no-restricted-imports' },
  { file: 'cluster-sim/random.ts', code: 'export const a = Math.random();', rule: 'no-restricted-properties' },
  {
    file: 'cluster-sim/nodes/timer.ts',
    code: 'export const a = setTimeout(() => {}, 1);',
    rule: 'no-restricted-globals',
  },
  { file: 'cluster-sim/clients/date.ts', code: 'export const a = new Date();', rule: 'no-restricted-syntax' },
  { file: 'cluster-sim/faults/fs.ts', code: "export { openSync } from 'node:fs';", rule: 'no-restricted-imports' },
  {
    file: 'cluster-sim/checkers/thread.ts',
    code: "export { Worker } from 'node:worker_threads';",
    rule: 'no-restricted-imports',
  },
  { file: 'cluster-sim/cli/clock.ts', code: 'export const a = performance.now();', rule: undefined },
  // Where ports meet adapters, anything goes.
  { file: 'src/server/clock.ts', code: 'export const a = Date.now();', rule: undefined },
  { file: 'src/server/fs.ts', code: "export { openSync } from 'node:fs';", rule: undefined },
  // Rules for all code.
  {
    file: 'src/server/floating.ts',
    code: 'const f = async (): Promise<void> => {};\nf();\nexport { f };',
    rule: '@typescript-eslint/no-floating-promises',
  },
  {
    file: 'src/server/switch.ts',
    code: "export function f(a: 'x' | 'y'): void {\n  switch (a) {\n    case 'x':\n      return;\n  }\n}",
    rule: '@typescript-eslint/switch-exhaustiveness-check',
  },
  {
    file: 'src/cli/import.ts',
    code: "import { Stats } from 'node:fs';\nexport type A = Stats;",
    rule: '@typescript-eslint/consistent-type-imports',
  },
  {
    file: 'src/client/any.ts',
    code: 'export const f = (a: any): boolean => !a;',
    rule: '@typescript-eslint/no-explicit-any',
  },
  {
    file: 'src/server/assertion.ts',
    code: 'export const f = (a: number[]): number => a[0]!;',
    rule: '@typescript-eslint/no-non-null-assertion',
  },
];

let tree: PlantedTree;
let rulesByFile: ReadonlyMap<string, readonly (string | null)[]>;

beforeAll(async () => {
  tree = await makePlantedTree(['eslint.config.mjs', 'tsconfig.json', 'package.json']);
  await tree.plant(Object.fromEntries(cases.map(({ file, code }) => [file, `${code}\n`])));
  const results = await new ESLint({ cwd: tree.directory }).lintFiles(['src', 'cluster-sim']);
  rulesByFile = new Map(
    results.map((result) => [
      path.relative(tree.directory, result.filePath).replaceAll(path.sep, '/'),
      result.messages.map((message) => message.ruleId),
    ]),
  );
}, 60_000);

afterAll(() => tree.remove());

test.each(cases)('$file: $rule', ({ file, rule }) => {
  expect(rulesByFile.get(file)).toEqual(rule === undefined ? [] : [rule]);
});
