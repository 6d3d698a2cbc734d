/** What runs on a machine: the server's code, put together in one way or the other. */
import type { Environment } from '../../src/base/ports/environment.js';
import type { Disk } from '../../src/base/ports/disk.js';
import type { Manager } from './surroundings.js';

/** Where a node keeps its data. */
export const dataDirectory = '/data';

/** A process that starts. */
export interface ProcessStart {
  readonly environment: Environment;
  readonly disk: Disk;
  /** False from the moment the process has ended. */
  readonly isAlive: () => boolean;
  /** The process cannot go on. */
  readonly onFatal: (error: Error) => void;
}

export interface ServerProgram {
  /** Resolves when the node serves. */
  start(process: ProcessStart): Promise<Manager>;
  /** Stops in good order. */
  stop(manager: Manager): Promise<void>;
  /** The process has ended, whichever way. */
  ended(): void;
  /** The disk is gone, with all that the node was. */
  wiped(): void;
  /** Id of the replica that this node has of a partition, or would have; 0: none. */
  replicaIdIn(partitionId: number): number;
}
