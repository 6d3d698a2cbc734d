/** Samples of a node's metrics page, by name; labels are summed over unless some are asked for. */
export class MetricsPage {
  readonly #lines: readonly string[];

  constructor(text: string) {
    this.#lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  }

  /** Sum of all series of a name whose labels hold the given text. 0 when there is none. */
  sum(name: string, labels = ''): number {
    let sum = 0;
    for (const line of this.#lines) {
      const after = line.charAt(name.length);
      if (!line.startsWith(name) || (after !== '{' && after !== ' ')) continue;
      if (line.includes(labels)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }
}

/** What shows that the log rolled and stores were flushed: counters of one process. */
export interface Turnover {
  readonly rolls: number;
  readonly recycledSegments: number;
  readonly flushes: number;
  readonly groups: number;
  /** Large enough to go past the page cache. */
  readonly uncachedGroups: number;
  readonly entries: number;
}

export const noTurnover: Turnover = {
  rolls: 0,
  recycledSegments: 0,
  flushes: 0,
  groups: 0,
  uncachedGroups: 0,
  entries: 0,
};

export function turnoverOf(page: MetricsPage): Turnover {
  return {
    rolls: page.sum('logboom_wal_segments_made_total'),
    recycledSegments: page.sum('logboom_wal_segments_made_total', 'from="recycled"'),
    flushes: page.sum('logboom_state_store_flushes_total'),
    groups: page.sum('logboom_wal_groups_total'),
    uncachedGroups:
      page.sum('logboom_wal_group_bytes_count') - page.sum('logboom_wal_group_bytes_bucket', 'le="262144"'),
    entries: page.sum('logboom_wal_entries_total'),
  };
}

export function addTurnover(left: Turnover, right: Turnover): Turnover {
  return {
    rolls: left.rolls + right.rolls,
    recycledSegments: left.recycledSegments + right.recycledSegments,
    flushes: left.flushes + right.flushes,
    groups: left.groups + right.groups,
    uncachedGroups: left.uncachedGroups + right.uncachedGroups,
    entries: left.entries + right.entries,
  };
}
