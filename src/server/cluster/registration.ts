/** What a node says of itself, kept up to date in the metadata: addresses, name, zone and version may change with a restart. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { nodeDescriptionSchema } from './formation-record.js';
import { notLeader } from './metadata-proposals.js';
import type { NodeId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, NodeDescription } from '../../metadata/index.js';
import type { CallMethod } from '../../transport/index.js';
import type { MetadataProposals } from './metadata-proposals.js';

export const registrationMethod = 'register-node';

const tryAgainMs = 500;
const requestBytesMax = 16 * 1024;

export interface RegistrationParts {
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  readonly clusterId: string;
  readonly self: NodeDescription;
  /** The newest table. */
  readonly known: () => ClusterState | undefined;
  readonly proposals: MetadataProposals;
  /** The node that leads the metadata group; undefined when none is known. */
  readonly leader: () => NodeId | undefined;
  readonly call: (nodeId: NodeId, request: Uint8Array) => Promise<unknown>;
  readonly signal: AbortSignal;
}

/** Resolves when the metadata says of this node what it says of itself. */
export async function registerSelf(parts: RegistrationParts): Promise<void> {
  const { environment, self, signal } = parts;
  while (!signal.aborted) {
    try {
      const known = parts.known()?.nodes.get(self.id);
      // Which repository it has proved to see is told on its own (repository-proof.ts), and outlives a restart.
      const described = { ...self, repositoryId: known?.repositoryId ?? '' };
      if (known !== undefined && isSame(known, described)) return;
      if (known !== undefined) await register({ ...parts, self: described });
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      if (!error.retryable) {
        environment.logger.error('the cluster does not take what this node says of itself', { error });
        return;
      }
    }
    await sleep(environment.clock, tryAgainMs, signal);
  }
}

/** Proposes what another member says of itself, on the leader. */
export function registrationHandler(parts: () => Omit<RegistrationParts, 'self' | 'known'> | undefined): CallMethod {
  return {
    kind: 'unary',
    access: 'members',
    requestBytesMax,
    async handle(request, { hello }) {
      const known = parts();
      if (known?.proposals.isLeader !== true) throw notLeader();
      const node = decodeDescription(request);
      if (node === undefined || node.id !== hello.nodeId || node.incarnation !== hello.incarnation) {
        throw new LogboomError('INVALID_ARGUMENT', 'a node speaks for itself only');
      }
      await known.proposals.propose({ type: 'register-node', clusterId: known.clusterId, node });
      return new Uint8Array(0);
    },
  };
}

function decodeDescription(request: Uint8Array): NodeDescription | undefined {
  try {
    return nodeDescriptionSchema.parse(JSON.parse(new TextDecoder().decode(request)));
  } catch {
    return undefined;
  }
}

/** @throws LogboomError NOT_LEADER, NODE_UNREACHABLE; the reason of a refusal */
export async function register({ self, proposals, clusterId, leader, call }: RegistrationParts): Promise<void> {
  if (proposals.isLeader) {
    await proposals.propose({ type: 'register-node', clusterId, node: self });
    return;
  }
  const nodeId = leader();
  if (nodeId !== undefined) await call(nodeId, new TextEncoder().encode(JSON.stringify(self)));
}

function isSame(known: NodeDescription, self: NodeDescription): boolean {
  const fields = Object.keys(self) as (keyof NodeDescription)[];
  return fields.every((field) => JSON.stringify(known[field]) === JSON.stringify(self[field]));
}
