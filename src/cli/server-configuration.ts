/** The configuration of a node, as `server` and the commands that work on its files read it. */
import { readFile } from 'node:fs/promises';
import { describeFileProblem, UsageError } from './failure.js';
import type { CommandIo } from './io.js';
import type { Configuration } from '../server/index.js';

/**
 * @param configPath undefined: no file
 * @param flags settings as arguments
 */
export async function readServerConfiguration(
  io: CommandIo,
  configPath: string | undefined,
  flags: readonly string[],
): Promise<Configuration> {
  const file = configPath === undefined ? undefined : { path: configPath, text: await readConfiguration(configPath) };
  // Loaded late: client commands are to start without the server.
  const { loadConfiguration } = await import('../server/index.js');
  return loadConfiguration({ file, environment: io.env, flags }).configuration;
}

async function readConfiguration(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const problem = describeFileProblem(error);
    throw problem === undefined ? error : new UsageError(`--config, LOGBOOM_CONFIG: ${problem}`);
  }
}
