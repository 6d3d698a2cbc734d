/** A node's description in a command: fields, limits, and how it becomes part of the table. */
import { decodeUtf8, encodeUtf8 } from '../../base/bytes.js';
import { asNodeId } from '../../base/ids.js';
import type { HeaderReader } from '../../base/header-reader.js';
import { metadataLimits } from '../limits.js';
import type { ClusterRecord, NodeDescription, NodeView, RefusedResult } from '../types.js';
import { refused } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { HeaderField } from './header.js';

export function encodeDescription(node: NodeDescription): readonly HeaderField[] {
  return [
    node.id,
    node.name,
    node.zone,
    node.incarnation,
    node.advertisedAddresses,
    node.linkAddress,
    node.softwareVersion,
    node.featureLevel,
    node.repositoryId,
  ];
}

export function decodeDescription(header: HeaderReader): NodeDescription {
  return {
    id: asNodeId(header.integer()),
    name: header.text(),
    zone: header.text(),
    incarnation: header.text(),
    advertisedAddresses: header.texts(),
    linkAddress: header.text(),
    softwareVersion: header.text(),
    featureLevel: header.integer(),
    repositoryId: header.text(),
  };
}

/** The refusal of a description that the table cannot hold; undefined of one that it can. */
export function descriptionRefusal(node: NodeDescription): RefusedResult | undefined {
  const { nodeIdMax, addressesMax } = metadataLimits;
  if (node.id < 1 || node.id > nodeIdMax) return invalid('id', `a node id is 1 to ${nodeIdMax}, not ${node.id}`);
  if (node.featureLevel < 1 || node.featureLevel > 0xffff) {
    return invalid('feature_level', `a node supports feature level 1 to 65535, not ${node.featureLevel}`);
  }
  if (node.incarnation === '') return invalid('incarnation', 'a node has an incarnation');
  if (node.advertisedAddresses.length > addressesMax) {
    return invalid('advertised_addresses', `a node has at most ${addressesMax} addresses`);
  }
  for (const [field, text] of [
    ['name', node.name],
    ['zone', node.zone],
    ['incarnation', node.incarnation],
    ['link_address', node.linkAddress],
    ['software_version', node.softwareVersion],
    ['repository_id', node.repositoryId],
    ...node.advertisedAddresses.map((address) => ['advertised_addresses', address]),
  ] as [string, string][]) {
    const refusal = textRefusal(field, text);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** A text goes into the store as UTF-8 and must come back the same, so that a restart changes nothing. */
export function textRefusal(field: string, text: string): RefusedResult | undefined {
  const utf8 = encodeUtf8(text);
  if (utf8.length > metadataLimits.textBytesMax) {
    return invalid(field, `${utf8.length} bytes, at most ${metadataLimits.textBytesMax} are allowed`);
  }
  return decodeUtf8(utf8) === text ? undefined : invalid(field, 'not valid Unicode');
}

export function invalid(field: string, problem: string): RefusedResult {
  return refused('INVALID_ARGUMENT', `${field}: ${problem}.`, { field });
}

export function featureLevelRefusal(node: NodeDescription, cluster: ClusterRecord): RefusedResult | undefined {
  if (node.featureLevel >= cluster.featureLevel) return undefined;
  return refused(
    'FEATURE_LEVEL_UNSUPPORTED',
    `Node ${node.id} (version ${node.softwareVersion}) supports feature level ${node.featureLevel}, and the cluster runs at ` +
      `${cluster.featureLevel}: start a newer build.`,
    { node: node.id, supported: node.featureLevel, feature_level: cluster.featureLevel },
  );
}

/** A node that was not there before, or not under this incarnation. */
export function newNode(
  node: NodeDescription,
  retiredIncarnations: readonly string[],
  { lsn, timeMs, draft }: ApplyContext,
): NodeView {
  return {
    ...node,
    state: 'active',
    stateLsn: lsn,
    stateSinceMs: timeMs,
    retiredIncarnations: retiredIncarnations.slice(-metadataLimits.retiredIncarnationsMax),
    version: draft.nextVersion,
  };
}

/** Nodes that can hold replicas, without `except`. */
export function activeNodes({ draft }: ApplyContext, except?: number): readonly NodeView[] {
  return draft.nodes().filter((node) => node.state === 'active' && node.id !== except);
}
