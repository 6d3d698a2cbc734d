import type { LogboomClient } from '../../src/client/index.js';
import type { NodeProcess } from './node-process.js';
import type { Payloads } from './payloads.js';

/** What a workload works with: a fresh node of its own, and a client of it in this process. */
export interface WorkloadContext {
  readonly client: LogboomClient;
  readonly node: NodeProcess;
  readonly payloads: Payloads;
  /** How long the measured part of a run is to take. */
  readonly seconds: number;
}

/** Figures by name; the unit is the end of the name. */
export type Figures = Readonly<Record<string, number>>;

export interface Bound {
  readonly figure: string;
  /** `at-least` or `at-most` this. */
  readonly at: 'least' | 'most';
  readonly value: number;
}

export interface Workload {
  readonly name: string;
  readonly description: string;
  /** What the project aims at on two cores of its own. */
  readonly targets: readonly Bound[];
  /** Seconds of the measured part, unless the command line says otherwise. */
  readonly seconds: number;
  readonly nodeFlags?: readonly string[];
  run(context: WorkloadContext): Promise<Figures>;
}
