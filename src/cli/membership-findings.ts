/** What is on its way in a cluster's placement, what holds it up, and what to do. */
import type { Membership, PartitionPlacement } from '../client/index.js';
import type { Finding } from './cluster-diagnosis.js';
import { plural } from './format.js';

/** In words, by the beginning of what a leader says that it waits for. */
const waits: readonly {
  readonly reason: string;
  readonly what: string;
  readonly action: string;
  readonly isLong: boolean;
}[] = [
  {
    reason: 'catching-up',
    what: 'the new replica is getting the log',
    action: 'Nothing to do: it takes as long as there is data.',
    isLong: false,
  },
  {
    reason: 'unreachable',
    what: 'the new replica does not answer',
    action: 'Start its node; when it is gone for good, drain and remove it.',
    isLong: true,
  },
  {
    reason: 'quorum-at-risk',
    what: 'without the replica that is to go, no majority of the others answers',
    action: 'Bring the other nodes back first.',
    isLong: true,
  },
  {
    reason: 'no-successor',
    what: 'the leader is to go, and no other replica is ready to lead',
    action: 'Wait until another one has caught up, or bring its node back.',
    isLong: true,
  },
  {
    reason: 'replica-spent',
    what: 'a replica that is wanted was removed from its group before',
    action: 'Move the partition to another node: `logboom partition move`.',
    isLong: true,
  },
];

export function membershipFindings(membership: Membership): Finding[] {
  return [
    ...membership.pending.map(({ id, name, kind, linkAddress }): Finding => {
      const what =
        kind === 'replace'
          ? `node ${id} (${name}) came with an empty data directory and waits, at ${linkAddress}`
          : `node ${id} (${name}) at ${linkAddress} asks to be let in`;
      const action =
        kind === 'replace'
          ? `When its old data is gone for good: \`logboom cluster replace ${id}\`. Otherwise start it with that.`
          : `\`logboom cluster add ${id}\` lets it in.`;
      return { severity: 'degraded', what, action };
    }),
    ...membership.members
      .filter(({ state }) => state === 'draining')
      .map(({ id, name, replicas }): Finding => {
        const node = `node ${id} (${name})`;
        if (replicas > 0)
          return {
            severity: 'note',
            what: `${node} is being emptied: ${plural(replicas, 'replica')} to go`,
            action: '',
          };
        return { severity: 'note', what: `${node} is empty`, action: `\`logboom cluster remove ${id}\` takes it out.` };
      }),
    ...featureLevelFindings(membership),
    ...membership.placements.flatMap(placementFindings),
  ];
}

/** An upgrade under way, or one that is held back. */
function featureLevelFindings({ members, featureLevel }: Membership): Finding[] {
  const present = members.filter(({ state }) => state !== 'removed');
  const highest = Math.max(featureLevel, ...present.map((member) => member.featureLevel));
  if (highest === featureLevel) return [];
  const behind = present.filter((member) => member.featureLevel < highest);
  const runs = `the cluster runs at feature level ${featureLevel}, newer builds support ${highest}`;
  if (behind.length === 0) {
    const action =
      '`logboom cluster set feature-level-max` without a value lets it rise; older builds cannot take over then.';
    return [{ severity: 'note', what: `${runs}, and the setting feature-level-max holds it`, action }];
  }
  const which = behind.map((member) => `node ${member.id} (${member.name}) supports ${member.featureLevel}`).join(', ');
  return [
    { severity: 'note', what: `${runs}: ${which}`, action: 'Upgrade these nodes; the level rises by itself then.' },
  ];
}

/** A partition of which a replica comes or goes. */
function placementFindings({ partition, replicas, waitsFor }: PartitionPlacement): Finding[] {
  const moving = replicas.filter(({ state }) => state !== 'settled');
  if (moving.length === 0) return [];
  const what = moving
    .map(({ replicaId, node, state }) => `replica ${replicaId} on node ${node} is ${state}`)
    .join(', ');
  const wait = waits.find(({ reason }) => waitsFor.startsWith(reason));
  const name = partition === 0 ? 'the metadata' : `partition ${partition}`;
  return [
    {
      severity: wait?.isLong === true ? 'degraded' : 'note',
      what: `${name}: ${what}${wait === undefined ? '' : `; ${wait.what}`}`,
      action: wait?.action ?? '',
    },
  ];
}
