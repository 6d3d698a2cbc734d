/** This build with a few lines of its compiled code changed: the release after it, or one with a defect. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryDirectory } from './temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../../..');

export interface Edit {
  /** Below `dist`. */
  readonly file: string;
  /** Occurs once. */
  readonly from: string;
  readonly to: string;
}

/** What to spawn it with, beside the configuration. @throws Error when the code is not any more what the edits expect */
export function editedBuild(edits: readonly Edit[]): readonly string[] {
  const directory = path.join(temporaryDirectory(), 'build');
  mkdirSync(directory);
  for (const name of ['bin', 'dist', 'proto', 'package.json']) {
    cpSync(path.join(root, name), path.join(directory, name), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  for (const { file, from, to } of edits) {
    const place = path.join(directory, 'dist', file);
    const parts = readFileSync(place, 'utf8').split(from);
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${from}`);
    writeFileSync(place, parts.join(to));
  }
  return [path.join(directory, 'bin/logboom.cjs'), 'server'];
}
