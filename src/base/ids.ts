/**
 * The numbers that must not be mixed up, as branded types. All are safe integers: at a million entries a second an LSN
 * needs 285 years to leave the range of exact doubles, and numbers are many times cheaper than bigint in V8.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Index of an entry in one partition's replicated log; the first entry is 1, and 0 means "before the first". */
export type Lsn = Branded<'Lsn'>;
/** Position of a record in its stream: 0, 1, 2 ... dense. */
export type Seq = Branded<'Seq'>;
/** Raft term; 0 is before the first election. */
export type Term = Branded<'Term'>;
/** A partition; 0 is reserved for metadata, stream partitions count from 1. */
export type PartitionId = Branded<'PartitionId'>;
/** A node of the cluster, from 1. */
export type NodeId = Branded<'NodeId'>;
/** A replica in its Raft group, from 1, never used twice; 0 means "none". */
export type ReplicaId = Branded<'ReplicaId'>;

export const asLsn = (value: number): Lsn => value as Lsn;
export const asSeq = (value: number): Seq => value as Seq;
export const asTerm = (value: number): Term => value as Term;
export const asPartitionId = (value: number): PartitionId => value as PartitionId;
export const asNodeId = (value: number): NodeId => value as NodeId;
export const asReplicaId = (value: number): ReplicaId => value as ReplicaId;

export const noReplica = asReplicaId(0);
