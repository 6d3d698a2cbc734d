/** Those who wait for news of a partition, by topic. */

export class Watchers {
  readonly #byTopic = new Map<number, Set<() => void>>();

  /** Calls back after every publish that names the topic, until the answered function is called. */
  watch(topic: number, onChange: () => void): () => void {
    const watchers = this.#byTopic.get(topic) ?? new Set<() => void>();
    this.#byTopic.set(topic, watchers);
    // A wrapper of its own, so that one callback may watch twice.
    const watcher = (): void => onChange();
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#byTopic.get(topic) === watchers) this.#byTopic.delete(topic);
    };
  }

  changed(topics: Iterable<number>): void {
    for (const topic of topics) {
      // A copy: who watches anew from within its callback is told of the next change, not of this one again.
      for (const watcher of [...(this.#byTopic.get(topic) ?? [])]) watcher();
    }
  }

  /** So that all of them look, and find what has become of the partition. */
  wakeAll(): void {
    this.changed([...this.#byTopic.keys()]);
  }
}
