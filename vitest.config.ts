import { defineConfig } from 'vitest/config';

// Workers inherit it, as a real node gets it from bin/logboom.cjs.
process.env['UV_THREADPOOL_SIZE'] ??= '16';

const testTimeout = 30_000;

export default defineConfig({
  test: {
    // Processes, not threads: native modules, and process-wide state such as signal handlers, stay apart.
    pool: 'forks',
    testTimeout,
    hookTimeout: testTimeout,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Real processes, ports and disks: one file at a time, after the rest, so that timings are their own.
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
