import type { ObjectEntry, ObjectOptions, ObjectStore } from '../object-store/types.js';
import { onObject } from './failures.js';

const pageObjects = 1000;

/** All objects below a prefix, ascending, a page at a time. */
export async function* listAll(
  store: ObjectStore,
  prefix: string,
  options: ObjectOptions,
): AsyncGenerator<ObjectEntry, void> {
  let after: string | undefined;
  for (;;) {
    const page = await onObject(store, prefix, () =>
      store.list(prefix, { ...options, limit: pageObjects, ...(after === undefined ? {} : { after }) }),
    );
    yield* page;
    if (page.length < pageObjects) return;
    after = page.at(-1)?.name;
  }
}
