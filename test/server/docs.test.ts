import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { generatedPages } from '../../scripts/generate-docs.js';

const root = path.resolve(import.meta.dirname, '../..');

test('docs/configuration.md, docs/errors.md and docs/metrics.md are up to date (npx tsx scripts/generate-docs.ts)', async () => {
  for (const [file, text] of await generatedPages()) {
    expect(await readFile(path.join(root, file), 'utf8'), file).toBe(text);
  }
});
