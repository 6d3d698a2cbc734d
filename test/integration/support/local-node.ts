/** A node in the test's own process, on the real disk: where many starts are needed, or a fault between node and disk. */
import { cpSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { Environment } from '../../../src/base/ports/environment.js';
import { noLogger } from '../../../src/base/ports/logger.js';
import { LogboomClient } from '../../../src/client/index.js';
import { loadConfiguration, startNode } from '../../../src/server/index.js';
import type { RunningNode } from '../../../src/server/index.js';
import type { Settings } from './server-process.js';
import { temporaryDirectory } from './temporary-directory.js';

export interface LocalNode {
  readonly node: RunningNode;
  readonly client: LogboomClient;
  readonly stop: () => Promise<void>;
}

/** @throws LogboomError of `startNode` */
export async function startLocalNode(
  dataDirectory: string,
  settings: Settings,
  options: { readonly environment?: Partial<Environment>; readonly onFatal?: (error: Error) => void } = {},
): Promise<LocalNode> {
  const text = JSON.stringify({ ...settings, dataDir: dataDirectory, port: 0 });
  const { configuration } = loadConfiguration({ file: { path: 'test', text } });
  const node = await startNode(configuration, { logger: noLogger, ...options });
  const client = new LogboomClient({ address: node.addresses.grpc });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= client.close().then(() => node.stop()));
  onTestFinished(() => stop().catch(() => {}));
  return { node, client, stop };
}

/** A copy of a data directory that no process uses. */
export function copyOf(dataDirectory: string): string {
  const copy = path.join(temporaryDirectory(), 'data');
  cpSync(dataDirectory, copy, { recursive: true });
  return copy;
}
