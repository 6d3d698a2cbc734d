/** The metadata of a node as the checkers see it, and the mutants of the server's cluster code. */
import type { Disk } from '../../src/base/ports/disk.js';
import { MetadataMachine, type ClusterState } from '../../src/metadata/index.js';
import { isMetadataMutant, type SimulationMutant } from '../mutants.js';

export class ObservedMetadata extends MetadataMachine {
  readonly #mutant: SimulationMutant | undefined;
  readonly #onShown: (state: ClusterState) => void;

  constructor(mutant: SimulationMutant | undefined, onShown: (state: ClusterState) => void) {
    super(isMetadataMutant(mutant) ? { mutant } : {});
    this.#mutant = mutant;
    this.#onShown = onShown;
  }

  override publish(): Iterable<number> {
    const topics = [...super.publish()];
    if (topics.length > 0 && super.state !== undefined) this.#onShown(super.state);
    return topics;
  }

  override get state(): ClusterState | undefined {
    const state = super.state;
    return state !== undefined && this.#mutant === 'leaving-replica-is-gone' ? withoutLeaving(state) : state;
  }
}

function withoutLeaving(state: ClusterState): ClusterState {
  const partitions = [...state.partitions].map(
    ([id, partition]) =>
      [id, { ...partition, replicas: partition.replicas.filter((replica) => replica.state !== 'leaving') }] as const,
  );
  return { ...state, partitions: new Map(partitions) };
}

/** Nobody reads which replicas were deleted. */
export function forgettingRemovals(disk: Disk, mutant: SimulationMutant | undefined): Disk {
  if (mutant !== 'deleted-replica-is-forgotten') return disk;
  return { ...disk, exists: async (path) => !path.endsWith('/removed.json') && disk.exists(path) };
}
