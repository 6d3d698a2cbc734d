'use strict';

const { layers, confinedPackages } = require('./scripts/layers.cjs');

const literal = (text) => text.replace(/[.]/g, '[.]');

/** `raft` stands for the folder, `raft/types.ts` for that file alone. */
const pathOf = (entry) => literal(entry) + (entry.endsWith('.ts') ? '$' : '/');

const layerRules = Object.entries(layers).map(([layer, allowed]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import from src/ only: ${[layer, ...allowed].join(', ')} (see scripts/layers.cjs).`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: { path: '^src/', pathNot: `^src/(${[layer, ...allowed].map(pathOf).join('|')})` },
}));

const packageRules = confinedPackages.map(({ name, package: packageName, importers }) => ({
  name: `package-${name}`,
  comment: `This package is confined to ${importers} (see scripts/layers.cjs).`,
  severity: 'error',
  from: { path: '^src/', pathNot: importers },
  to: { path: `(^|/)node_modules/${packageName}(/|$)|^${packageName}(/|$)` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layerRules,
    ...packageRules,
    {
      name: 'layer-unnamed',
      comment: 'A file of src/ outside the folders that scripts/layers.cjs names.',
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/(${Object.keys(layers).join('|')})/` },
      to: {},
    },
    {
      name: 'base-imports-nothing',
      comment: 'src/base is what everything stands on: neither packages nor node modules.',
      severity: 'error',
      from: { path: '^src/base/' },
      to: { pathNot: '^src/' },
    },
    {
      name: 'src-stands-alone',
      comment: 'Nothing that ships imports the simulator, tests, benchmarks or scripts.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(cluster-sim|test|bench|scripts|bin|dist)/' },
    },
    {
      name: 'simulator-without-cli',
      comment: 'The simulator runs the server code; the command line is real I/O all the way.',
      severity: 'error',
      from: { path: '^cluster-sim/' },
      to: { path: '^(src/cli|test|bench)/' },
    },
    {
      name: 'no-build-output',
      comment: 'Sources import sources; dist/ may be stale.',
      severity: 'error',
      from: { path: '^(src|cluster-sim|test|bench)/' },
      to: { path: '^dist/' },
    },
    {
      name: 'no-cycle',
      comment: 'A cycle, of types alone too, is one module in several files: it cannot be read or tested in parts.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-dev-package',
      comment: 'What ships may import only "dependencies" of package.json.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: 'node_modules/@types/' },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere would slip past every rule above.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage|data|docs|proto|artifacts)/|^(bin/logboom[.]cjs|scripts/start[.]cjs)$' },
    // Type-only imports count: a layer that needs another's types depends on it.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    moduleSystems: ['es6', 'cjs'],
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
    skipAnalysisNotInRules: true,
  },
};
