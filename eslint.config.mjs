import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** The deterministic state machines: time, randomness and I/O reach them only as values. */
const deterministic = ['src/raft/**/*.ts', 'src/streams/**/*.ts', 'src/metadata/**/*.ts'];

/** Runs unchanged in the simulator: takes clock, random numbers, disk and network from the ports in src/base/ports. */
const behindPorts = [
  'src/base/**/*.ts',
  'src/wal/**/*.ts',
  'src/state-store/**/*.ts',
  'src/object-store/**/*.ts',
  'src/snapshot/**/*.ts',
  'src/partition/**/*.ts',
  'src/transport/**/*.ts',
];

/** The parts of the simulator that run while time is simulated: all but its command line and its engine room. */
const simulated = [
  'cluster-sim/{checkers,clients,faults,network,nodes}/**/*.ts',
  'cluster-sim/{memory-object-store,simulated-{disk,file-system,object-store,ordered-store}}.ts',
];

const useSimulated = 'Inside a simulation: take it from the world, the node or the cluster.';
const usePort = 'The simulator cannot control it: use the port in src/base/ports.';
const asInput = 'A deterministic state machine gets it as input.';
const bytesAsUint8Array = 'Uint8Array here: bytes must not depend on Node.';

const builtins = builtinModules.filter((name) => !name.startsWith('_') && !name.startsWith('node:'));
/** `import 'fs'` is `import 'node:fs'` by another name, and would pass the rules about `node:*`. */
const unprefixedBuiltins = {
  regex: `^(${builtins.map((name) => name.split('/')[0]).join('|')})(/(promises|posix|win32|strict|web|consumers|types))?$`,
  message: "Import it as 'node:...'.",
};

/** Modules of Node without I/O, time or randomness. Of zlib and crypto, only pure functions (see below). */
const pureModules = ['assert', 'buffer', 'crypto', 'events', 'path', 'path/posix', 'util', 'zlib'];

const nondeterministicGlobals = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'process',
  'performance',
  'crypto',
  'fetch',
  'WebSocket',
  'globalThis',
  'Intl',
];

const nondeterministicProperties = [
  { object: 'Math', property: 'random' },
  { object: 'Date', property: 'now' },
  { object: 'AbortSignal', property: 'timeout' },
];

/** The order of strings must be the same on every machine, whatever its locale. */
const localeSyntax = {
  selector: 'MemberExpression[property.name=/^(localeCompare|toLocale[A-Z])/]',
  message: 'Its result depends on the locale of the machine.',
};

const restrictGlobals = (names, message) => ['error', ...names.map((name) => ({ name, message }))];
const restrictProperties = (message, properties = nondeterministicProperties) => [
  'error',
  ...properties.map((restriction) => ({ ...restriction, message })),
];

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'data/', 'artifacts/', '**/testdata/', '**/golden/']),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
  },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: 'error',
      'no-restricted-imports': ['error', { patterns: [unprefixedBuiltins] }],
    },
  },
  {
    // Plain JavaScript: the launcher and the scripts that run before anything is installed.
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        ['Buffer', 'console', 'performance', 'process', 'setTimeout', 'URL'].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs', globals: { __dirname: 'readonly' } },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      // A port's method is asynchronous for the implementation that needs it.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      // A test that is wrong about what is there fails all the same.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: behindPorts,
    rules: {
      'no-restricted-globals': restrictGlobals(nondeterministicGlobals, usePort),
      'no-restricted-properties': restrictProperties(usePort),
      'no-restricted-syntax': [
        'error',
        localeSyntax,
        // `new Date(timeMs)` only formats a time that came from the clock port.
        {
          selector: ":matches(NewExpression, CallExpression)[callee.name='Date'][arguments.length=0]",
          message: usePort,
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'node:crypto', allowImportNames: ['createHash'], message: `Only createHash is pure. ${usePort}` },
            { name: 'node:zlib', allowImportNames: ['crc32'], message: `Only crc32 is pure and quick. ${usePort}` },
          ],
          patterns: [unprefixedBuiltins, { regex: `^node:(?!(${pureModules.join('|')})$)`, message: usePort }],
        },
      ],
    },
  },
  {
    // The links themselves; the simulator has a network of its own. Time and randomness come from the ports here too.
    files: ['src/transport/http2/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            unprefixedBuiltins,
            { regex: `^node:(?!(${[...pureModules, 'http2'].join('|')})$)`, message: usePort },
          ],
        },
      ],
    },
  },
  {
    files: ['src/base/ports/**/*.ts'],
    rules: {
      'no-restricted-globals': [
        ...restrictGlobals(nondeterministicGlobals, usePort),
        { name: 'Buffer', message: bytesAsUint8Array },
      ],
    },
  },
  {
    files: ['src/base/**/*.ts', ...deterministic],
    rules: {
      'no-restricted-imports': ['error', { patterns: [unprefixedBuiltins, { regex: '^node:', message: asInput }] }],
    },
  },
  {
    files: deterministic,
    rules: {
      'no-restricted-globals': [
        ...restrictGlobals(
          [...nondeterministicGlobals, 'Date', 'queueMicrotask', 'WeakRef', 'FinalizationRegistry'],
          asInput,
        ),
        { name: 'Buffer', message: bytesAsUint8Array },
      ],
      'no-restricted-properties': restrictProperties(
        asInput,
        nondeterministicProperties.filter(({ object }) => object !== 'Date'),
      ),
      'no-restricted-syntax': ['error', localeSyntax],
    },
  },
  {
    // The simulator has one seed and one clock; its main program may tell how long it took.
    files: ['cluster-sim/**/*.ts'],
    ignores: ['cluster-sim/main.ts'],
    rules: { 'no-restricted-properties': restrictProperties('One seed and one clock: use the simulated ones.') },
  },
  {
    // What runs inside a simulation, beside the server's own code.
    files: simulated,
    rules: {
      'no-restricted-globals': restrictGlobals(nondeterministicGlobals, useSimulated),
      'no-restricted-syntax': [
        'error',
        localeSyntax,
        {
          selector: ":matches(NewExpression, CallExpression)[callee.name='Date'][arguments.length=0]",
          message: useSimulated,
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [{ name: 'node:zlib', allowImportNames: ['crc32'], message: `Only crc32 is pure. ${useSimulated}` }],
          patterns: [unprefixedBuiltins, { regex: '^node:(?!(assert|buffer|path|util|zlib)$)', message: useSimulated }],
        },
      ],
    },
  },
);
