import type { Payloads } from '../../support/payloads.js';
import type { PeerClient } from '../systems/system.js';
import type { Answer, Ask, Job } from './job.js';

export interface LoadContext {
  readonly job: Job;
  readonly client: PeerClient;
  readonly payloads: Payloads;
  /** Another client of the same servers. */
  connect(): Promise<PeerClient>;
  ask(what: Ask): Promise<Answer>;
}
