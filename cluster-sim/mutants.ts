/** Deliberate bugs of storage and of the node, made in the simulated adapters; those of consensus are in src/raft/mutants.ts. */
import { metadataMutants, type MetadataMutant } from '../src/metadata/index.js';

export const simulationMutants = {
  ...metadataMutants,
  'deleted-replica-is-forgotten': 'a node that starts does not read which replicas it has deleted',
  'leaving-replica-is-gone': 'a node deletes its replica when it is to leave its group, before the group has let it go',
  'applied-lsn-in-second-batch': 'the applied LSN is written to the index in a batch of its own, before the next one',
  'persisted-reported-at-flush-start': 'a flush is reported complete when it starts',
  'store-keeps-own-log':
    'a database opens with what its own log replays, damaged in the middle, instead of its last flush',
  'trim-to-applied': 'the log is trimmed to the applied LSN instead of the persisted one',
  'torn-tail-is-data': 'the frames of a torn commit group count, an entry that is there in part among them',
  'damage-is-cut-away': 'damage in the middle of the log is cut away as if it were a torn tail',
  'failed-sync-ignored': 'a failed fsync counts as a successful one',
  'producers-forgotten-on-restart':
    'a restarted replica does not know the producers any more: repeats are appended again',
  'wiped-disk-keeps-its-identity': 'a node whose disk was lost comes back as the replica it was',
  'wiped-node-keeps-its-record':
    'of a disk that was lost, node.json and cluster.json are put back, and the node starts with them',
  'rebuilt-replica-keeps-its-id':
    'a node whose data rotted is emptied and imports snapshots as the replicas that it was, with no change of the groups',
  'trim-beyond-archived': 'in a cluster, the log is trimmed to the persisted LSN, whatever is archived',
  'trim-ignores-persisted':
    "a replica trims its log to the group's trim point, also above what it has itself persisted",
  'manifest-before-chunks': 'the manifest of a snapshot is stored before its chunks',
  'rotten-value-archived': 'a snapshot does not look at the checksums of the values that it reads',
  'collect-without-grace': 'a chunk that no manifest names is deleted at once',
  'trim-without-proof': 'a node says that it sees the repository, whatever it sees',
  'half-import-accepted': 'after a crash in an import, what there is of it counts as the whole state',
  'peer-state-of-another-lsn': 'a replica that streams its state to another one says that it is of the next LSN',
  'trim-touches-other-log': "one partition's trim point is applied to the logs of the others",
} as const;

export type SimulationMutant = keyof typeof simulationMutants;

export function isSimulationMutant(name: string): name is SimulationMutant {
  return Object.hasOwn(simulationMutants, name);
}

export function isMetadataMutant(name: SimulationMutant | undefined): name is MetadataMutant {
  return name !== undefined && Object.hasOwn(metadataMutants, name);
}
