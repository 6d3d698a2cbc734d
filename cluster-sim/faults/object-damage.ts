/** Objects of the snapshot repository that rot, are cut short or disappear, where the group can do without them. */
import type { Cluster } from '../nodes/cluster.js';
import type { Action } from '../plan.js';
import type { FaultBudget } from './fault-budget.js';

/** Rot that no size tells of is found by who restores, or by whom the repository is checked; then it is removed. */
const removeRottenMs = 15_000;

type DamageAction = Extract<Action, { readonly kind: 'objects-damage' }>;

/** Answers whether it may be done now; it may be a little later. */
export function damageObjects(cluster: Cluster, budget: FaultBudget, { partition, what, pick }: DamageAction): boolean {
  const { archives, objects } = cluster;
  const newest = archives.newest(partition);
  if (newest === undefined || !budget.mayDamageArchive(partition)) return false;
  const [manifest, confirmation, ...chunks] = archives.objectsOf(newest);
  const chunk = chunks[pick % Math.max(1, chunks.length)];
  // A snapshot without its confirmation is of as little use as one without its manifest.
  const name = what.startsWith('chunk') ? chunk : pick % 3 === 0 ? confirmation : manifest;
  const object = name === undefined ? undefined : objects.objects.get(name);
  if (name === undefined || object === undefined || object.bytes.length === 0) return true;
  budget.archivesDamaged.add(partition);
  const at = pick % object.bytes.length;
  if (what.endsWith('missing')) objects.damage(name, undefined);
  else if (what.endsWith('cut')) objects.damage(name, object.bytes.slice(0, at));
  else objects.damage(name, object.bytes.with(at, (object.bytes[at] as number) ^ (1 << (pick % 8))));
  cluster.count(countOf[what]);
  cluster.note(0, `object store: ${name} is ${what.slice(what.indexOf('-') + 1)}`);
  if (what === 'chunk-damaged') cluster.world.after(removeRottenMs, () => objects.damage(name, undefined));
  return true;
}

const countOf: Readonly<Record<DamageAction['what'], string>> = {
  'manifest-damaged': 'objects damaged',
  'chunk-damaged': 'objects damaged',
  'chunk-cut': 'objects cut short',
  'manifest-missing': 'objects gone missing',
  'chunk-missing': 'objects gone missing',
};
