/**
 * The cluster's state in memory, twice: as apply has left it, and as readers may see it. Readers see a change only after
 * the next `publish`, because before it the effects are not in the store.
 */
import { assert } from '../base/assert.js';
import type { NodeId, PartitionId } from '../base/ids.js';
import type { StateTransaction } from '../base/state-machine.js';
import { clusterKey, nodeKey, partitionKey, settingKey, slotsKey } from './keys.js';
import type { ClusterRecord, ClusterState, NodeView, PartitionView, SettingView } from './types.js';
import { encodeClusterRecord, encodeNode, encodePartition, encodeSetting, encodeSlots } from './values.js';

export interface TableContents {
  cluster: ClusterRecord | undefined;
  slots: Uint16Array;
  readonly nodes: Map<NodeId, NodeView>;
  readonly partitions: Map<PartitionId, PartitionView>;
  readonly settings: Map<string, SettingView>;
}

export const emptyContents = (): TableContents => ({
  cluster: undefined,
  slots: new Uint16Array(0),
  nodes: new Map(),
  partitions: new Map(),
  settings: new Map(),
});

export class ClusterTable {
  #contents = emptyContents();
  #published: ClusterState | undefined;
  #isDirty = false;

  get contents(): TableContents {
    return this.#contents;
  }

  get published(): ClusterState | undefined {
    return this.#published;
  }

  /** After a load: readers see it at once, and the next `publish` says that something changed. */
  replace(contents: TableContents): void {
    this.#contents = contents;
    this.#show();
    this.#isDirty = true;
  }

  /** Whether there is something new. */
  publish(): boolean {
    const isNew = this.#isDirty;
    if (isNew) this.#show();
    this.#isDirty = false;
    return isNew;
  }

  /** Writes what a command has changed, under the next table version. */
  commit(draft: Draft, timeMs: number, transaction: StateTransaction): void {
    const { cluster, nodes, partitions, settings, slots } = draft.changes;
    assert(cluster !== undefined, () => 'a change of a cluster that was not initialized');
    for (const [id, node] of nodes) {
      this.#contents.nodes.set(id, node);
      transaction.putIndex(nodeKey(id), encodeNode(node));
    }
    for (const [id, partition] of partitions) {
      this.#contents.partitions.set(id, partition);
      transaction.putIndex(partitionKey(id), encodePartition(partition));
    }
    for (const [name, setting] of settings) {
      if (setting === undefined) {
        this.#contents.settings.delete(name);
        transaction.deleteIndex(settingKey(name));
      } else {
        this.#contents.settings.set(name, setting);
        transaction.putIndex(settingKey(name), encodeSetting(setting));
      }
    }
    if (slots !== undefined) {
      this.#contents.slots = slots;
      transaction.putIndex(slotsKey, encodeSlots(slots));
    }
    this.#contents.cluster = { ...cluster, entryTimeMs: timeMs, tableVersion: draft.nextVersion };
    transaction.putIndex(clusterKey, encodeClusterRecord(this.#contents.cluster));
    this.#isDirty = true;
  }

  #show(): void {
    const { cluster, nodes, partitions, settings, slots } = this.#contents;
    this.#published =
      cluster === undefined
        ? undefined
        : {
            ...cluster,
            nodes: sortedMap(nodes),
            partitions: sortedMap(partitions),
            settings: sortedMap(settings),
            slots,
          };
  }
}

/**
 * What one command reads and changes. Nothing is written before the command has succeeded, so a refused one has changed
 * nothing, wherever it stopped. Putting what is there already is no change.
 */
export class Draft {
  /** Table version of everything that this command changes. */
  readonly nextVersion: number;
  readonly #contents: TableContents;
  readonly #changes: TableChanges;
  #hasChanged = false;

  constructor(contents: TableContents) {
    this.#contents = contents;
    this.nextVersion = (contents.cluster?.tableVersion ?? 0) + 1;
    this.#changes = {
      cluster: contents.cluster,
      nodes: new Map(),
      partitions: new Map(),
      settings: new Map(),
      slots: undefined,
    };
  }

  get changes(): TableChanges {
    return this.#changes;
  }

  get hasChanged(): boolean {
    return this.#hasChanged;
  }

  /** Undefined before the cluster was initialized. */
  get cluster(): ClusterRecord | undefined {
    return this.#changes.cluster;
  }

  node(id: number): NodeView | undefined {
    return this.#changes.nodes.get(id as NodeId) ?? this.#contents.nodes.get(id as NodeId);
  }

  partition(id: number): PartitionView | undefined {
    return this.#changes.partitions.get(id as PartitionId) ?? this.#contents.partitions.get(id as PartitionId);
  }

  /** Ascending by id: what apply walks over must have the same order after a restart. */
  nodes(): readonly NodeView[] {
    return [...sortedMap(new Map([...this.#contents.nodes, ...this.#changes.nodes])).values()];
  }

  /** Ascending by id. */
  partitions(): readonly PartitionView[] {
    return [...sortedMap(new Map([...this.#contents.partitions, ...this.#changes.partitions])).values()];
  }

  get settings(): ReadonlyMap<string, SettingView> {
    const merged = new Map(this.#contents.settings);
    for (const [name, setting] of this.#changes.settings) {
      if (setting === undefined) merged.delete(name);
      else merged.set(name, setting);
    }
    return merged;
  }

  putCluster(record: ClusterRecord): void {
    const previous = this.#changes.cluster;
    if (previous !== undefined && isEqual(encodeClusterRecord(record), encodeClusterRecord(previous))) return;
    this.#changes.cluster = record;
    this.#hasChanged = true;
  }

  putNode(node: NodeView): void {
    const previous = this.node(node.id);
    if (previous && isEqual(encodeNode({ ...node, version: previous.version }), encodeNode(previous))) return;
    this.#changes.nodes.set(node.id, { ...node, version: this.nextVersion });
    this.#hasChanged = true;
  }

  putPartition(partition: PartitionView): void {
    const previous = this.partition(partition.id);
    if (previous && isEqual(encodePartition({ ...partition, version: previous.version }), encodePartition(previous))) {
      return;
    }
    this.#changes.partitions.set(partition.id, { ...partition, version: this.nextVersion });
    this.#hasChanged = true;
  }

  /** `value` undefined: back to the default. */
  putSetting(name: string, value: string | undefined): void {
    if (this.settings.get(name)?.value === value) return;
    this.#changes.settings.set(name, value === undefined ? undefined : { name, value, version: this.nextVersion });
    this.#hasChanged = true;
  }

  putSlots(slots: Uint16Array): void {
    this.#changes.slots = slots;
    this.#hasChanged = true;
  }
}

interface TableChanges {
  cluster: ClusterRecord | undefined;
  readonly nodes: Map<NodeId, NodeView>;
  readonly partitions: Map<PartitionId, PartitionView>;
  readonly settings: Map<string, SettingView | undefined>;
  slots: Uint16Array | undefined;
}

/** Numbers ascending, texts by UTF-16 code units. */
function sortedMap<Key extends number | string, Value>(map: ReadonlyMap<Key, Value>): Map<Key, Value> {
  return new Map([...map].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)));
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
