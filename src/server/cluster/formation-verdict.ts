/** What a node without a cluster makes of the answers of the nodes on its list. Pure. */
import { LogboomError } from '../../base/errors.js';
import { memberOf } from './formation-record.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { ListedNode } from '../config/index.js';
import type { FormationRecord } from './formation-record.js';

/** What a node says of itself to those who would form a cluster with it. */
export interface FormationState {
  readonly self: NodeDescription;
  readonly listed: readonly ListedNode[];
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Undefined while the node belongs to no cluster: then its directory is empty. Durable otherwise. */
  readonly record: FormationRecord | undefined;
}

/** The answer of a listed node, or why there is none. */
export type FormationAnswer =
  | { readonly node: ListedNode; readonly state: FormationState }
  | { readonly node: ListedNode; readonly failure: string };

export type FormationVerdict =
  | { readonly type: 'form'; readonly members: readonly NodeDescription[] }
  | { readonly type: 'adopt'; readonly record: FormationRecord }
  | { readonly type: 'wait'; readonly because: string }
  /** The cluster knows this node with another data directory: it may take its own place only as a new node. */
  | { readonly type: 'replace' }
  | { readonly type: 'refuse'; readonly error: LogboomError };

/** @param answers of all listed nodes but `own` */
export function judgeFormation(own: FormationState, answers: readonly FormationAnswer[]): FormationVerdict {
  const states = answers.flatMap((answer) => ('state' in answer ? [answer.state] : []));
  const formed = states.find(({ record }) => record !== undefined);
  if (formed?.record !== undefined) return judgeRecord(own, formed.self, formed.record);
  const founder = own.listed[0];
  if (founder === undefined || founder.id !== own.self.id) {
    return {
      type: 'wait',
      because: `node ${founder?.id} (${founder?.linkAddress}) forms the cluster, when all are there`,
    };
  }
  for (const answer of answers) {
    const { id, linkAddress } = answer.node;
    if ('failure' in answer)
      return { type: 'wait', because: `node ${id} (${linkAddress}) does not answer: ${answer.failure}` };
    const difference = differenceOf(own, answer.state);
    if (difference !== undefined) return { type: 'wait', because: `node ${id} (${linkAddress}) ${difference}` };
  }
  const members = [own.self, ...states.map(({ self }) => self)].toSorted((left, right) => left.id - right.id);
  return { type: 'form', members };
}

/** Another node belongs to a cluster already: it is this node's as well, or never will be. */
function judgeRecord(own: FormationState, holder: NodeDescription, record: FormationRecord): FormationVerdict {
  const { id, incarnation } = own.self;
  const { clusterId } = record;
  const known = memberOf(record, id);
  // A seat in the metadata group is of the node that shows it; who has none yet asks for its own.
  if (known?.incarnation === incarnation && record.seat === undefined) return { type: 'adopt', record };
  if (known !== undefined) return { type: 'replace' };
  const error = new LogboomError(
    'CLUSTER_MISMATCH',
    `node ${holder.id} (${holder.linkAddress}) belongs to cluster ${clusterId}, which was formed without node ${id}. To join it, ` +
      `set cluster.join to ${holder.linkAddress} instead of cluster.nodes; or correct cluster.nodes, or form a cluster of empty ` +
      'directories',
    { facts: { node: id, cluster: clusterId } },
  );
  return { type: 'refuse', error };
}

/** In what an empty node does not fit; undefined when it does. */
function differenceOf(own: FormationState, other: FormationState): string | undefined {
  const lists = [own, other].map(({ listed }) =>
    listed.map(({ id, linkAddress }) => `${id}@${linkAddress}`).join(', '),
  );
  if (lists[0] !== lists[1]) return `has another list of nodes in cluster.nodes: ${lists[1]}`;
  if (other.partitionCount !== own.partitionCount)
    return `has partitions ${other.partitionCount}, this node ${own.partitionCount}`;
  if (other.replicationFactor !== own.replicationFactor) {
    return `has cluster.replicationFactor ${other.replicationFactor}, this node ${own.replicationFactor}`;
  }
  return undefined;
}
