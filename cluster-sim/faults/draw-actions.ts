/** What is done to a cluster, and when: drawn kind by kind, each kind often, seldom or not at all. */
import { RandomStream } from '../engine/random.js';
import { topologies } from '../network/topologies.js';
import type { Action, ActionKind, Plan, Target } from '../plan.js';

/** Mean times between two actions of a kind; 0 leaves the kind out. */
const meanMsChoices = [15_000, 60_000, 0] as const;

interface Draw {
  readonly random: RandomStream;
  readonly plan: Omit<Plan, 'actions'>;
}

type Maker = (draw: Draw, atMs: number) => Action | undefined;

const makers: Readonly<Record<ActionKind, Maker>> = {
  cut: ({ random, plan }, atMs) =>
    plan.nodes < 2
      ? undefined
      : {
          atMs,
          kind: 'cut',
          topology: random.pick(topologies),
          order: random.shuffled(nodesOf(plan)),
          forMs: forMs(random, 500, 15_000),
        },
  'slow-link': ({ random, plan }, atMs) => {
    const [from, to] = random.shuffled(nodesOf(plan));
    if (from === undefined || to === undefined) return undefined;
    const bytesPerMs = random.pick([0, 1, 20]);
    return {
      atMs,
      kind: 'slow-link',
      from,
      to,
      extraMs: random.between(5, 400),
      bytesPerMs,
      forMs: forMs(random, 1000, 20_000),
    };
  },
  crash: (draw, atMs) => ({ atMs, kind: 'crash', target: target(draw), downMs: forMs(draw.random, 10, 10_000) }),
  'power-loss': (draw, atMs) => ({
    atMs,
    kind: 'power-loss',
    target: target(draw),
    downMs: forMs(draw.random, 10, 10_000),
  }),
  'power-loss-all': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'power-loss-all',
    downMs: nodesOf(plan).map(() => forMs(random, 10, 5000)),
  }),
  restart: (draw, atMs) => ({ atMs, kind: 'restart', target: target(draw), downMs: forMs(draw.random, 10, 3000) }),
  'rolling-restart': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'rolling-restart',
    order: random.shuffled(nodesOf(plan)),
    everyMs: forMs(random, 2000, 8000),
  }),
  pause: (draw, atMs) => ({ atMs, kind: 'pause', target: target(draw), forMs: forMs(draw.random, 100, 8000) }),
  'clock-jump': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'clock-jump',
    node: random.pick(nodesOf(plan)),
    byMs: Math.floor(random.between(-120_000, 120_000)),
  }),
  'clock-drift': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'clock-drift',
    node: random.pick(nodesOf(plan)),
    drift: random.between(-0.2, 0.2),
  }),
  'disk-slow': (draw, atMs) => ({
    atMs,
    kind: 'disk-slow',
    target: target(draw),
    factor: draw.random.pick([10, 100]),
    forMs: forMs(draw.random, 1000, 20_000),
  }),
  'disk-hang': (draw, atMs) => ({
    atMs,
    kind: 'disk-hang',
    target: target(draw),
    forMs: forMs(draw.random, 500, 10_000),
  }),
  'disk-full': (draw, atMs) => ({
    atMs,
    kind: 'disk-full',
    target: target(draw),
    forMs: forMs(draw.random, 1000, 20_000),
  }),
  'disk-error': (draw, atMs) => ({
    atMs,
    kind: 'disk-error',
    target: target(draw),
    operation: draw.random.pick(['write', 'read', 'datasync', 'datasync']),
  }),
  'store-failures': (draw, atMs) => ({
    atMs,
    kind: 'store-failures',
    target: target(draw),
    perMille: draw.random.pick([5, 100]),
    forMs: forMs(draw.random, 500, 5000),
  }),
  'bit-rot': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'bit-rot',
    node: random.pick(nodesOf(plan)),
    where: random.pick(['log', 'store']),
    pick: random.nextUint32(),
  }),
  'rot-before-snapshot': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'rot-before-snapshot',
    partition: random.integer(1, plan.partitions),
  }),
  'misdirected-write': (draw, atMs) => ({
    atMs,
    kind: 'misdirected-write',
    target: target(draw),
    pick: draw.random.nextUint32(),
  }),
  wipe: ({ random, plan }, atMs) => ({
    atMs,
    kind: 'wipe',
    node: random.pick(nodesOf(plan)),
    downMs: forMs(random, 100, 5000),
  }),
  'transfer-leader': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'transfer-leader',
    partition: random.integer(1, plan.partitions),
    to: random.pick(nodesOf(plan)),
  }),
  'change-voters': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'change-voters',
    partition: random.integer(1, plan.partitions),
    pick: random.nextUint32(),
  }),
  'node-joins': ({ random, plan }, atMs) => ({ atMs, kind: 'node-joins', node: random.pick(nodesOf(plan)) }),
  'node-leaves': ({ random, plan }, atMs) => ({ atMs, kind: 'node-leaves', node: random.pick(nodesOf(plan)) }),
  'node-drained': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'node-drained',
    node: random.pick(nodesOf(plan)),
    forMs: forMs(random, 500, 20_000),
  }),
  'replica-moves': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'replica-moves',
    partition: random.integer(1, plan.partitions),
    pick: random.nextUint32(),
  }),
  'zone-changes': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'zone-changes',
    node: random.pick(nodesOf(plan)),
    zone: `zone-${random.integer(1, 3)}`,
  }),
  'setting-changes': ({ random }, atMs) => ({ atMs, kind: 'setting-changes', ...random.pick(settingChanges) }),
  flush: (draw, atMs) => ({ atMs, kind: 'flush', target: target(draw) }),
  'delete-stream': ({ random, plan }, atMs) => {
    const deletable = plan.streams.flatMap(({ mayBeDeleted }, stream) => (mayBeDeleted ? [stream] : []));
    return deletable.length === 0 ? undefined : { atMs, kind: 'delete-stream', stream: random.pick(deletable) };
  },
  away: (draw, atMs) => ({ atMs, kind: 'away', target: target(draw), downMs: forMs(draw.random, 10_000, 40_000) }),
  'objects-unavailable': ({ random }, atMs) => ({
    atMs,
    kind: 'objects-unavailable',
    forMs: forMs(random, 500, 15_000),
  }),
  'objects-slow': ({ random }, atMs) => ({
    atMs,
    kind: 'objects-slow',
    factor: random.pick([5, 30]),
    forMs: forMs(random, 1000, 10_000),
  }),
  'objects-cut-off': (draw, atMs) => ({
    atMs,
    kind: 'objects-cut-off',
    target: target(draw),
    forMs: forMs(draw.random, 1000, 30_000),
  }),
  'objects-damage': ({ random, plan }, atMs) => ({
    atMs,
    kind: 'objects-damage',
    partition: random.integer(1, plan.partitions),
    what: random.pick(['manifest-damaged', 'manifest-missing', 'chunk-damaged', 'chunk-cut', 'chunk-missing']),
    pick: random.nextUint32(),
  }),
};

/** Kinds of the server's own cluster code. */
const ofMembership: ReadonlySet<ActionKind> = new Set<ActionKind>([
  'node-joins',
  'node-leaves',
  'node-drained',
  'replica-moves',
  'zone-changes',
  'setting-changes',
]);

/** Each as operators set it when they know better; none of them keeps a cluster from coming to rest for good. */
const settingChanges = [
  { name: 'moves-max', value: '0' },
  { name: 'moves-max', value: '1' },
  { name: 'moves-max', value: '4' },
  { name: 'dead-node-delay-ms', value: '8000' },
  { name: 'dead-node-delay-ms', value: '300000' },
  { name: 'node-suspect-after-ms', value: '2000' },
  { name: 'leader-return-delay-ms', value: '2000' },
  { name: 'replication-factor', value: '3' },
  { name: 'replication-factor', value: '4' },
] as const;

/** Kinds that came with snapshots; a seed without a repository has none of them. */
const ofSnapshots: ReadonlySet<ActionKind> = new Set<ActionKind>([
  'away',
  'objects-unavailable',
  'objects-slow',
  'objects-cut-off',
  'objects-damage',
  'rot-before-snapshot',
]);

/** Kinds that a profile has in every seed. */
const alwaysIn: Readonly<Record<Plan['profile'], readonly ActionKind[]>> = {
  calm: [],
  swarm: ['flush'],
  lease: ['cut', 'transfer-leader'],
  bootstrap: [
    'flush',
    'away',
    'crash',
    'wipe',
    'bit-rot',
    'rot-before-snapshot',
    'objects-damage',
    'change-voters',
    'transfer-leader',
  ],
  single: ['flush', 'crash', 'power-loss', 'store-failures'],
  cluster: ['node-joins', 'node-leaves', 'replica-moves', 'transfer-leader', 'crash', 'wipe'],
  churn: ['change-voters', 'transfer-leader', 'crash', 'cut', 'wipe', 'bit-rot'],
};

/** Kinds that are rare in any seed: each costs a replacement, or the whole cluster. */
const rare: ReadonlySet<ActionKind> = new Set<ActionKind>([
  'wipe',
  'bit-rot',
  'rot-before-snapshot',
  'misdirected-write',
  'power-loss-all',
  'rolling-restart',
  'objects-unavailable',
  'objects-slow',
]);

const quietStartMs = 3000;

export function drawActions(shared: RandomStream, plan: Omit<Plan, 'actions'>): Action[] {
  const actions: Action[] = [];
  for (const kind of Object.keys(makers) as ActionKind[]) {
    // Older seeds keep their course: what came later draws from a stream of its own.
    if (ofSnapshots.has(kind) && plan.snapshots === undefined) continue;
    if (ofMembership.has(kind) && plan.membership === undefined) continue;
    const isLater = kind === 'misdirected-write' || ofSnapshots.has(kind) || ofMembership.has(kind);
    const random = isLater ? new RandomStream(plan.seed, kind) : shared;
    const isAlways = alwaysIn[plan.profile].includes(kind);
    const drawn = random.pick(meanMsChoices);
    const meanMs = drawn === 0 && isAlways ? 20_000 : drawn;
    if (meanMs === 0) continue;
    const meanOfKindMs = rare.has(kind) && !isAlways ? 4 * meanMs : meanMs;
    for (
      let atMs = quietStartMs + random.exponential(meanOfKindMs);
      atMs < plan.durationMs;
      atMs += random.exponential(meanOfKindMs)
    ) {
      const action = makers[kind]({ random, plan }, Math.floor(atMs));
      if (action !== undefined) actions.push(action);
    }
  }
  return actions.sort((a, b) => a.atMs - b.atMs);
}

function nodesOf(plan: Pick<Plan, 'nodes'>): number[] {
  return Array.from({ length: plan.nodes }, (_, index) => index + 1);
}

/** Leaders are struck more often than chance would have it: that is where things happen. */
function target({ random, plan }: Draw): Target {
  return random.chance(0.5) ? { leaderOf: random.integer(1, plan.partitions) } : { node: random.pick(nodesOf(plan)) };
}

/** Short times more often than long ones. */
function forMs(random: RandomStream, from: number, to: number): number {
  return Math.floor(from * (to / from) ** random.fraction());
}
