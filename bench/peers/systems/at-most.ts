/** Runs something for each item, so many at the same time; results are in the order of the items. */
export async function atMost<Item, Result>(
  concurrent: number,
  items: readonly Item[],
  run: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next;
      next += 1;
      results[index] = await run(items[index] as Item);
    }
  };
  await Promise.all(Array.from({ length: concurrent }, lane));
  return results;
}
