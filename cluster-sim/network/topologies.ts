/** Ways to cut a network in parts, as sets of cut directions: pure functions. */

/** A direction that carries nothing. */
export interface CutLink {
  readonly from: number;
  readonly to: number;
}

export type Topology = 'isolate' | 'one-way' | 'halves' | 'bridge' | 'chain' | 'ring' | 'deaf' | 'mute';
export const topologies: readonly Topology[] = [
  'isolate',
  'one-way',
  'halves',
  'bridge',
  'chain',
  'ring',
  'deaf',
  'mute',
];

/**
 * - `isolate`: the first node alone, in both directions
 * - `one-way`: one direction between the first two nodes
 * - `halves`: two groups that do not hear each other; the first group is the smaller one
 * - `bridge`: two groups, and one node that hears both
 * - `chain`, `ring`: each node hears only its neighbours
 * - `deaf`: nothing reaches the first node, but it is heard; `mute`: the reverse
 *
 * @param nodes in the order in which the topology takes them
 */
export function cutsOf(topology: Topology, nodes: readonly number[]): CutLink[] {
  const [first, second] = nodes;
  if (first === undefined || second === undefined) return [];
  switch (topology) {
    case 'isolate':
      return unless(nodes, (from, to) => from !== first && to !== first);
    case 'one-way':
      return [{ from: first, to: second }];
    case 'halves': {
      const group = new Set(nodes.slice(0, Math.floor(nodes.length / 2)));
      return unless(nodes, (from, to) => group.has(from) === group.has(to));
    }
    case 'bridge': {
      const group = new Set(nodes.slice(1, 1 + Math.floor((nodes.length - 1) / 2)));
      return unless(nodes, (from, to) => from === first || to === first || group.has(from) === group.has(to));
    }
    case 'chain':
      return unless(nodes, (from, to) => Math.abs(nodes.indexOf(from) - nodes.indexOf(to)) === 1);
    case 'ring':
      return unless(nodes, (from, to) => {
        const distance = Math.abs(nodes.indexOf(from) - nodes.indexOf(to));
        return distance === 1 || distance === nodes.length - 1;
      });
    case 'deaf':
      return unless(nodes, (_from, to) => to !== first);
    case 'mute':
      return unless(nodes, (from) => from !== first);
  }
}

function unless(nodes: readonly number[], isOpen: (from: number, to: number) => boolean): CutLink[] {
  const cuts: CutLink[] = [];
  for (const from of nodes) {
    for (const to of nodes) if (from !== to && !isOpen(from, to)) cuts.push({ from, to });
  }
  return cuts;
}
