import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

/** A directory of the running test's own on a real file system, removed after it. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'logboom-integration-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
