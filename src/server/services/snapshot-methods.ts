/** The methods of ClusterService that have to do with snapshots and trimming. */
import { asPartitionId, type PartitionId } from '../../base/ids.js';
import { noRepository } from '../../partition/index.js';
import type { PartitionReplica, RepositoryAccess } from '../../partition/index.js';

type SnapshottedReplica = Pick<PartitionReplica<unknown, never>, 'snapshot' | 'trim' | 'status'>;

export interface SnapshotParts {
  /** Any partition, that of the metadata too. @throws LogboomError PARTITION_NOT_FOUND */
  readonly replicaOf: (id: PartitionId) => SnapshottedReplica;
  /** Undefined: no repository is configured. */
  readonly repository: RepositoryAccess | undefined;
}

export class SnapshotMethods {
  readonly #parts: SnapshotParts;

  constructor(parts: SnapshotParts) {
    this.#parts = parts;
  }

  async create({ partition }: { readonly partition: number }): Promise<object> {
    const { archivedLsn, manifest } = await this.#parts.replicaOf(asPartitionId(partition)).snapshot();
    return { archivedLsn, manifest };
  }

  /** Any node that sees the repository can tell. */
  async list({ partition }: { readonly partition: number }): Promise<object> {
    const { repository, replicaOf } = this.#parts;
    const id = asPartitionId(partition);
    const { archivedManifest } = replicaOf(id).status;
    if (repository === undefined) throw noRepository(id);
    const manifests = await repository.archive(id).manifests();
    return {
      repositoryId: repository.provenId,
      snapshots: manifests.map(({ name, lsn, term }) => ({
        manifest: name,
        lsn,
        term,
        archived: name === archivedManifest,
      })),
    };
  }

  async trim({ partition, dryRun }: { readonly partition: number; readonly dryRun: boolean }): Promise<object> {
    return this.#parts.replicaOf(asPartitionId(partition)).trim({ dryRun });
  }
}
