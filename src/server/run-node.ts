/** A node as the whole business of a process: signals in, exit code out. */
import { StopRequests } from '../base/stop-requests.js';
import { makeLogger } from './adapters/pino-logger.js';
import { startNode } from './node.js';
import type { Logger } from '../base/ports/logger.js';
import type { Configuration } from './config/index.js';
import type { RunningNode } from './node.js';

export interface RunNodeOptions {
  /** Called once the node serves: the place for a banner. */
  readonly onStarted?: (node: RunningNode) => void;
  readonly logger?: Logger;
}

const stopSignals = ['SIGTERM', 'SIGINT'] as const;

/**
 * Starts a node and runs it until the first SIGTERM or SIGINT, which stops it: calls in flight are answered, everything
 * is flushed, and the next start replays nothing. A second signal ends the process at once, with code 1; what was
 * acknowledged is safe all the same. A signal during a start ends it at once too: nothing was acknowledged yet. The same
 * signal delivered twice within a second is one (see {@link StopRequests}).
 *
 * Resolves with the exit code when the node has stopped.
 *
 * @throws LogboomError of `startNode`
 */
export async function runNode(configuration: Configuration, options: RunNodeOptions = {}): Promise<number> {
  const logger = options.logger ?? makeLogger(configuration.log);
  let node: RunningNode | undefined;
  let finish: (code: Promise<number>) => void = () => {};
  const finished = new Promise<number>((resolve) => (finish = resolve));

  const requests = new StopRequests();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!node) {
      logger.info('stopped while starting', { signal });
      process.exit(0);
    }
    const request = requests.take(signal, performance.now());
    if (request === 'echo') return;
    if (request === 'now') {
      logger.warn('a second signal: the node ends at once', { signal });
      process.exit(1);
    }
    logger.info('the node stops', { signal });
    finish(
      node.stop().then(
        () => 0,
        () => 1,
      ),
    );
  };

  // The clock's timers do not keep a process alive, and until the node listens there may be nothing else that does: a start
  // that replays the log sometimes only waits for the next flush.
  const alive = setInterval(() => {}, 60_000);
  for (const signal of stopSignals) process.on(signal, onSignal);
  try {
    node = await startNode(configuration, { logger });
    options.onStarted?.(node);
    return await finished;
  } finally {
    clearInterval(alive);
    for (const signal of stopSignals) process.off(signal, onSignal);
  }
}
