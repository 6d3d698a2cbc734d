/** Commands as entries of the log: the envelope of base/command-entry.ts and a msgpack header. No command has a payload. */
import { InvariantViolation } from '../../base/assert.js';
import { encodeEntry, splitEntry } from '../../base/command-entry.js';
import { firstFeatureLevel, requireFeatureLevel } from '../../base/feature-level.js';
import { refused } from './apply-context.js';
import type { ApplyContext, CommandDefinition, Verdict } from './apply-context.js';
import type { MetadataCommand } from './commands.js';
import { drainNode } from './drain-node.js';
import { encodeHeader, readHeader } from './header.js';
import { initializeCluster } from './initialize-cluster.js';
import { raiseFeatureLevel } from './raise-feature-level.js';
import { registerNode } from './register-node.js';
import { removeNode } from './remove-node.js';
import { replaceNode } from './replace-node.js';
import { replaceReplica } from './replace-replica.js';
import { replicaJoined } from './replica-joined.js';
import { replicaRemoved } from './replica-removed.js';
import { setPlacement } from './set-placement.js';
import { setRepository } from './set-repository.js';
import { setSetting } from './set-setting.js';
import { updateNode } from './update-node.js';

type CommandOf<Type extends MetadataCommand['type']> = Extract<MetadataCommand, { readonly type: Type }>;

const definitions: { readonly [Type in MetadataCommand['type']]: CommandDefinition<CommandOf<Type>> } = {
  'initialize-cluster': initializeCluster,
  'register-node': registerNode,
  'update-node': updateNode,
  'drain-node': drainNode,
  'remove-node': removeNode,
  'replace-node': replaceNode,
  'set-placement': setPlacement,
  'replace-replica': replaceReplica,
  'replica-joined': replicaJoined,
  'replica-removed': replicaRemoved,
  'set-setting': setSetting,
  'raise-feature-level': raiseFeatureLevel,
  'set-repository': setRepository,
};

const nothing = new Uint8Array(0);

/** A command and the time that its leader gave to it. */
export interface StampedCommand {
  readonly timeMs: number;
  readonly command: MetadataCommand;
}

/**
 * What is proposed.
 *
 * @param stamp `timeMs`: the leader's wall time; fractions are dropped. `featureLevel`: the cluster's, the first by default
 * @throws LogboomError FEATURE_LEVEL_UNSUPPORTED for a command that not every node can read yet
 */
export function encodeCommand(
  command: MetadataCommand,
  stamp: { readonly timeMs: number; readonly featureLevel?: number | undefined },
): Uint8Array {
  const definition = definitionOf(command);
  requireFeatureLevel(command.type, definition.sinceFeatureLevel, stamp.featureLevel ?? firstFeatureLevel);
  const timeMs = Math.max(0, Math.floor(stamp.timeMs));
  const header = encodeHeader([definition.version, timeMs, ...definition.encode(command)]);
  return encodeEntry({ type: definition.type, header, payload: nothing });
}

/** @throws InvariantViolation: what a quorum has accepted cannot be skipped, so a replica that cannot read it must stop */
export function decodeCommand(entry: Uint8Array): StampedCommand {
  const { type, header: headerBytes, payload } = splitEntry(entry);
  const definition = definitionsByType.get(type);
  if (definition === undefined) {
    throw new InvariantViolation(
      `entry was written by a newer version: command type ${type} is not known to this node`,
    );
  }
  const header = readHeader(headerBytes);
  const version = header.integer();
  if (version !== definition.version) {
    throw new InvariantViolation(
      `entry was written by a newer version: command type ${type} has version ${version}, this node knows ${definition.version}`,
    );
  }
  if (payload.length > 0) {
    throw new InvariantViolation(`entry cannot be decoded: ${payload.length} bytes behind a command without payload`);
  }
  const timeMs = header.integer();
  const command = definition.decode(header);
  header.end();
  return { timeMs, command };
}

export function applyCommand(command: MetadataCommand, context: ApplyContext): Verdict {
  if (context.draft.cluster === undefined && command.type !== 'initialize-cluster') {
    return refused('CLUSTER_NOT_FORMED', 'The cluster is not initialized yet.');
  }
  return definitionOf(command).apply(command, context);
}

const definitionsByType = new Map<number, CommandDefinition<MetadataCommand>>(
  Object.values(definitions).map((definition) => [definition.type, definition]),
);

/** The definition of the command's own type; which one that is, the compiler cannot see. */
function definitionOf(command: MetadataCommand): CommandDefinition<MetadataCommand> {
  return definitions[command.type];
}
