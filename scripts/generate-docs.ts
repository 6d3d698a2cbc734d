// `npx tsx scripts/generate-docs.ts`: writes the pages of docs/ that are made from the code. test/server/docs.test.ts
// fails while they are out of date.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { configurationPage } from '../src/server/config/documentation.js';
import { errorsPage } from '../src/server/errors-page.js';
import { metricsPage } from './metrics-page.js';

const root = path.resolve(import.meta.dirname, '..');

/** Path, from the root of the checkout, to content. */
export async function generatedPages(): Promise<ReadonlyMap<string, string>> {
  const pages = new Map([
    ['docs/configuration.md', configurationPage()],
    ['docs/errors.md', errorsPage()],
    ['docs/metrics.md', await metricsPage(path.join(root, 'src'))],
  ]);
  for (const [file, text] of pages) {
    const options = await resolveConfig(path.join(root, file));
    pages.set(file, await format(text, { ...options, filepath: file }));
  }
  return pages;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of await generatedPages()) {
    await writeFile(path.join(root, file), text);
    console.log(`wrote ${file}`);
  }
}
