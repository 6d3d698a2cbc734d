import { execFile } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makePlantedTree, projectRoot } from './planted-tree.js';
import type { PlantedTree } from './planted-tree.js';

// Rules are worth something only while they fire. The real command with the real configuration runs over a tree of
// planted imports, and must report the forbidden ones and no other.

const allowed: Readonly<Record<string, string>> = {
  'src/base/ids.ts': 'export interface Lsn { readonly lsn: number }\n',
  'src/raft/types.ts': "import type { Lsn } from '../base/ids.js';\nexport type Entry = Lsn;\n",
  'src/raft/raft.ts': "import type { Entry } from './types.js';\nexport const raft: Entry = { lsn: 1 };\n",
  'src/wal/wal.ts': "import type { Entry } from '../raft/types.js';\nexport const wal: Entry = { lsn: 1 };\n",
  'src/state-store/leveldb-store.ts': "import { ClassicLevel } from 'classic-level';\nexport { ClassicLevel };\n",
  'src/server/node.ts': "import { raft } from '../raft/raft.js';\nexport const node = raft;\n",
  // The other halves of cycles: one report a cycle.
  'src/streams/b.ts': "import { a } from './a.js';\nexport const b = (): unknown => a;\n",
  'src/metadata/d.ts': "import type { C } from './c.js';\nexport interface D { c?: C }\n",
  'src/cli/main.ts': "import { node } from '../server/node.js';\nconsole.log(node);\n",
  'cluster-sim/main.ts': "import { node } from '../src/server/node.js';\nconsole.log(node);\n",
};

const forbidden: readonly { readonly rule: string; readonly file: string; readonly text: string }[] = [
  { rule: 'layer-raft', file: 'src/raft/up.ts', text: "export { wal } from '../wal/wal.js';\n" },
  {
    rule: 'layer-base',
    file: 'src/base/up.ts',
    text: "import type { Entry } from '../raft/types.js';\nexport type E = Entry;\n",
  },
  { rule: 'layer-wal', file: 'src/wal/core.ts', text: "export { raft } from '../raft/raft.js';\n" },
  { rule: 'layer-client', file: 'src/client/up.ts', text: "export { node } from '../server/node.js';\n" },
  {
    rule: 'layer-streams',
    file: 'src/streams/up.ts',
    text: "export const late = () => import('../server/node.js');\n",
  },
  { rule: 'layer-unnamed', file: 'src/elsewhere/a.ts', text: "export type { Lsn } from '../base/ids.js';\n" },
  { rule: 'base-imports-nothing', file: 'src/base/disk.ts', text: "export { readFile } from 'node:fs/promises';\n" },
  { rule: 'package-leveldb', file: 'src/partition/store.ts', text: "export { ClassicLevel } from 'classic-level';\n" },
  { rule: 'package-grpc', file: 'src/transport/grpc.ts', text: "export { Server } from '@grpc/grpc-js';\n" },
  { rule: 'src-stands-alone', file: 'src/server/sim.ts', text: "import '../../cluster-sim/main.js';\n" },
  { rule: 'simulator-without-cli', file: 'cluster-sim/cli.ts', text: "import '../src/cli/main.js';\n" },
  { rule: 'no-dev-package', file: 'src/server/property.ts', text: "export { property } from 'fast-check';\n" },
  { rule: 'no-unresolvable', file: 'src/raft/missing.ts', text: "export { gone } from './gone.js';\n" },
  {
    rule: 'no-cycle',
    file: 'src/streams/a.ts',
    text: "import { b } from './b.js';\nexport const a = (): unknown => b;\n",
  },
  {
    rule: 'no-cycle',
    file: 'src/metadata/c.ts',
    text: "import type { D } from './d.js';\nexport interface C { d?: D }\n",
  },
];

interface CruiseResult {
  readonly summary: {
    readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[];
  };
}

let tree: PlantedTree;
let reported: readonly string[];

beforeAll(async () => {
  tree = await makePlantedTree(['.dependency-cruiser.cjs', 'scripts/layers.cjs', 'tsconfig.json', 'package.json']);
  await tree.plant(allowed);
  await tree.plant(Object.fromEntries(forbidden.map(({ file, text }) => [file, text])));
  const { summary } = await cruise(tree.directory);
  reported = summary.violations.map(({ rule, from }) => `${rule.name} ${from}`);
});

afterAll(() => tree.remove());

test.each(forbidden)('$rule is reported for $file', ({ rule, file }) => {
  expect(reported).toContain(`${rule} ${file}`);
});

test('nothing else is reported', () => {
  expect([...new Set(reported)].sort()).toEqual(forbidden.map(({ rule, file }) => `${rule} ${file}`).sort());
});

function cruise(directory: string): Promise<CruiseResult> {
  const command = path.join(projectRoot, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [command, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', '.'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: directory, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      // With this output type the exit code is the number of errors.
      if (stdout === '') reject(new Error(`dependency-cruiser printed nothing: ${stderr}`, { cause: error }));
      else resolve(JSON.parse(stdout) as CruiseResult);
    });
  });
}
