/** The state machine of partition 0: nodes, partitions and settings of the whole cluster. */
import { assert, InvariantViolation } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { Lsn } from '../base/ids.js';
import { indexOnlyView } from '../base/state-machine.js';
import type { LogicalView, StateMachine, StateReader, StateTransaction } from '../base/state-machine.js';
import { ClusterTable, Draft } from './cluster-table.js';
import { applyCommand, decodeCommand } from './commands/codec.js';
import { supportedFeatureLevel } from './feature-level.js';
import { loadContents } from './load.js';
import type { MetadataMutant } from './mutants.js';
import type { AppliedResult, ClusterState, MetadataResult } from './types.js';

/** The only topic of `publish`: something in the table has changed. */
export const tableTopic = 0;

export interface MetadataMachineOptions {
  /** The highest feature level that this build supports; for tests of upgrades. */
  readonly supportedFeatureLevel?: number;
  /** A deliberate bug; only the simulator sets it. */
  readonly mutant?: MetadataMutant | undefined;
}

/**
 * Keeps everything in memory: a few hundred bytes a node and a partition.
 *
 * Invariant: apply depends on nothing but the table as of the entries before and the entry itself; it walks over nodes and
 * partitions in the order of their ids. So equal entries give equal writes and results, however they are grouped and
 * wherever a restart falls.
 */
export class MetadataMachine implements StateMachine<MetadataResult> {
  readonly #table = new ClusterTable();
  readonly #supportedFeatureLevel: number;
  readonly #mutant: MetadataMutant | undefined;
  #appliedLsn = 0;

  constructor(options: MetadataMachineOptions = {}) {
    this.#supportedFeatureLevel = options.supportedFeatureLevel ?? supportedFeatureLevel;
    this.#mutant = options.mutant;
  }

  /** @throws LogboomError DATA_CORRUPT; FEATURE_LEVEL_UNSUPPORTED when the state is of a newer build */
  async load(reader: StateReader): Promise<void> {
    const contents = await loadContents(reader);
    const level = contents.cluster?.featureLevel ?? 0;
    if (level > this.#supportedFeatureLevel) {
      throw new LogboomError(
        'FEATURE_LEVEL_UNSUPPORTED',
        `The cluster runs at feature level ${level}; this build supports ${this.#supportedFeatureLevel}. Start a newer one.`,
        { facts: { feature_level: level, supported: this.#supportedFeatureLevel } },
      );
    }
    this.#table.replace(contents);
    this.#appliedLsn = reader.appliedLsn;
  }

  apply(lsn: Lsn, entry: Uint8Array, transaction: StateTransaction): MetadataResult {
    assert(lsn > this.#appliedLsn, () => `entry ${lsn} is applied after ${this.#appliedLsn}`);
    const { command, timeMs: stampedMs } = decodeCommand(entry);
    const draft = new Draft(this.#table.contents);
    const timeMs = Math.max(draft.cluster?.entryTimeMs ?? 0, stampedMs);
    const verdict = applyCommand(command, { lsn, timeMs, draft, mutant: this.#mutant });
    if (verdict.type === 'accepted' && draft.hasChanged) {
      this.#requireSupported(draft.cluster?.featureLevel ?? 0);
      this.#table.commit(draft, timeMs, transaction);
    }
    this.#appliedLsn = lsn;
    if (verdict.type === 'refused') return verdict;
    return {
      type: 'applied',
      changed: draft.hasChanged,
      tableVersion: this.#table.contents.cluster?.tableVersion ?? 0,
      node: verdict.nodeId === undefined ? undefined : draft.node(verdict.nodeId),
      partition: verdict.partitionId === undefined ? undefined : draft.partition(verdict.partitionId),
    };
  }

  publish(): Iterable<number> {
    return this.#table.publish() ? [tableTopic] : [];
  }

  logicalView(): Promise<LogicalView> {
    return Promise.resolve(indexOnlyView);
  }

  /** As of the last `publish`; undefined before the cluster was initialized. Immutable: another object after a change. */
  get state(): ClusterState | undefined {
    return this.#table.published;
  }

  /** Going on above its level, this build would misread entries: its node said that it supports what it does not. */
  #requireSupported(level: number): void {
    if (level <= this.#supportedFeatureLevel) return;
    throw new InvariantViolation(
      `the cluster goes to feature level ${level}, this build supports ${this.#supportedFeatureLevel}`,
    );
  }
}

/**
 * The result of a proposal.
 *
 * @throws LogboomError with the reason of a refusal
 */
export function expectApplied(result: MetadataResult): AppliedResult {
  if (result.type === 'refused') throw new LogboomError(result.reason, result.message, { facts: result.facts });
  return result;
}
