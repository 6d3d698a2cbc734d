/** Whether a store does what its users build on. */
import type { Random } from '../base/ports/random.js';
import { nextIdentity } from '../base/ports/random.js';
import { ObjectStoreError, type ObjectOptions, type ObjectStore } from './types.js';

const racers = 4;

/**
 * Puts different contents under one name, of its own and below `logboom-probe/`: several at once, then one more; the store
 * must tell one of them at most that it created the object, refuse the last, and keep the content. Leaves nothing behind.
 *
 * @throws ObjectStoreError INVALID when the store lacks put-if-absent; whatever the store rejects with
 */
export async function probePutIfAbsent(store: ObjectStore, random: Random, options: ObjectOptions = {}): Promise<void> {
  const name = `logboom-probe/${nextIdentity(random).toString(36)}${nextIdentity(random).toString(36)}`;
  const contents = Array.from({ length: racers + 1 }, (_, index) => Uint8Array.of(1 + index));
  const put = (content: Uint8Array): Promise<'created' | 'exists'> => store.putIfAbsent(name, [content], options);
  try {
    const outcomes = await Promise.all(contents.slice(0, racers).map(put));
    const created = outcomes.filter((outcome) => outcome === 'created').length;
    // None: the answer to the one that did was lost, and it was sent again.
    if (created > 1) throw lacking(store, `${created} of ${racers} puts of one name at once were told they created it`);
    const before = await readBack(store, name, options);
    if ((await put(contents[racers] as Uint8Array)) !== 'exists')
      throw lacking(store, 'a second put of a name was told it created it: the store ignores the condition');
    const after = await readBack(store, name, options);
    if (before !== after) throw lacking(store, 'a second put of a name replaced the first');
    if (created === 1 && outcomes[before - 1] !== 'created')
      throw lacking(store, 'the content is that of a put which was told the name was taken');
  } finally {
    await store.delete([name], options).catch(() => {});
  }
  // Whoever may not delete cannot collect what retention lets go.
  await store.delete([name], options);
}

async function readBack(store: ObjectStore, name: string, options: ObjectOptions): Promise<number> {
  const bytes = await store.get(name, { ...options, bytesMax: 1 });
  return bytes[0] ?? 0;
}

function lacking(store: ObjectStore, what: string): ObjectStoreError {
  return new ObjectStoreError(
    'INVALID',
    `${store.description} lacks put-if-absent, without which two writers could replace each other's snapshots: ${what}.`,
  );
}
