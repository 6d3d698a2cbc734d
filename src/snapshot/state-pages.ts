import type { IndexEntry, StateScan } from '../base/state-machine.js';

const pageEntries = 1000;
const endOfKeys = Uint8Array.of(0xff);

/** All index entries, ascending, a page at a time. Keys begin with a byte below 0xff. */
export async function* indexPages(state: StateScan): AsyncGenerator<IndexEntry[], void> {
  for (let from = new Uint8Array(0); ;) {
    const page = await state.scanIndex({ from, to: endOfKeys, limit: pageEntries });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    from = new Uint8Array(last.key.length + 1);
    from.set(last.key);
  }
}
