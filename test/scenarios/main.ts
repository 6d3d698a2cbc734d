/**
 * `npm run scenarios -- DIR...`: replays every `*.txt` file below the given folders (or the files themselves) through
 * the consensus core and prints one line a file. Exit status 1 when any differs. `--rewrite` puts the actual output
 * into the files instead: for files of this project, to be read before they are kept.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import process from 'node:process';
import { replay, type Replayed } from './replay.js';

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((item) => {
      if (item.isDirectory()) return filesBelow(join(path, item.name));
      return item.name.endsWith('.txt') ? [join(path, item.name)] : [];
    });
}

function replayed(text: string): Replayed {
  try {
    return replay(text);
  } catch (error) {
    return { facts: 0, differences: [{ line: 1, directive: 'file', text: (error as Error).message }], rewritten: text };
  }
}

function reportFile(path: string, result: Replayed): void {
  const name = relative(process.cwd(), path);
  if (result.differences.length === 0) {
    console.log(`ok    ${name} (${result.facts} facts)`);
    return;
  }
  console.log(`FAIL  ${name} (${result.facts} facts, ${result.differences.length} differences)`);
  for (const { line, directive, text } of result.differences)
    console.log(`        line ${line}, ${directive}: ${text}`);
}

function main(args: readonly string[]): number {
  const rewriting = args.includes('--rewrite');
  const roots = args.filter((arg) => arg !== '--rewrite');
  if (roots.length === 0) {
    console.error('usage: npm run scenarios -- [--rewrite] DIR...');
    return 2;
  }
  const paths = roots.flatMap(filesBelow);
  let failed = 0;
  let facts = 0;
  for (const path of paths) {
    const text = readFileSync(path, 'utf8');
    const result = replayed(text);
    if (rewriting) writeFileSync(path, result.rewritten);
    reportFile(path, result);
    facts += result.facts;
    if (result.differences.length > 0) failed += 1;
  }
  console.log(`${paths.length - failed} of ${paths.length} files ok, ${facts} facts compared`);
  return failed > 0 || paths.length === 0 ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
