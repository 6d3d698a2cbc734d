import { expect, test } from 'vitest';
import { Verdict } from '../../cluster-sim/checkers/verdict.js';
import { inMacrotask } from '../../cluster-sim/cli/run-range.js';
import { World } from '../../cluster-sim/engine/world.js';
import { runMaintenance } from '../../cluster-sim/nodes/maintenance.js';
import { NodeClock } from '../../cluster-sim/nodes/node-clock.js';
import type { Manager, Surroundings } from '../../cluster-sim/nodes/surroundings.js';
import { InvariantViolation } from '../../src/base/assert.js';
import { LogboomError } from '../../src/base/errors.js';

/** Ten rounds of maintenance of a replica whose machine cannot be read. */
function maintained(error: Error): { readonly rounds: number; readonly broken: string | undefined } {
  const world = new World();
  const verdict = new Verdict(
    () => world.nowMs,
    () => world.stop(),
  );
  let rounds = 0;
  const replica = {
    partitionId: 3,
    isLeader: true,
    get machine(): never {
      rounds += 1;
      throw error;
    },
  };
  const manager = { replicas: [replica] } as unknown as Manager;
  const cluster = { plan: { maintenanceMs: 100 }, verdict } as unknown as Surroundings;
  runMaintenance(new NodeClock(world, 0, 0), manager, cluster, () => true);
  world.run(1050);
  return { rounds, broken: verdict.violation?.message };
}

test('maintenance goes on after what a request may be told', async () => {
  expect(await inMacrotask(() => maintained(new LogboomError('STATE_STORE_FAILED', 'it is being reopened')))).toEqual({
    rounds: 10,
    broken: undefined,
  });
});

test.each([new InvariantViolation('two and two make five'), new TypeError('undefined is not a function')])(
  'a run fails when maintenance meets %s',
  async (error) => {
    const { rounds, broken } = await inMacrotask(() => maintained(error));
    expect(rounds).toBe(1);
    expect(broken).toContain(`maintenance of partition 3: ${error.name}: ${error.message}`);
  },
);
