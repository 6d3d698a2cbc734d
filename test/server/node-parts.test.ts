import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { asLsn, asPartitionId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import { DiskError } from '../../src/base/ports/disk.js';
import type { Environment } from '../../src/base/ports/environment.js';
import { AppendAdmission } from '../../src/server/admission.js';
import { DiskWatch, resumeMarkBytes } from '../../src/server/disk-watch.js';
import { ApplyProgress, Health } from '../../src/server/health.js';
import type { ObservedReplica } from '../../src/server/health.js';
import { HttpServer } from '../../src/server/http-server.js';
import { formatAddress } from '../../src/server/listen.js';
import { ManualClock } from './support/manual-clock.js';

const replica = (over: Partial<ObservedReplica> = {}): ObservedReplica => ({
  partitionId: asPartitionId(1),
  commitLsn: asLsn(10),
  appliedLsn: asLsn(10),
  hasLeader: true,
  catchesUp: false,
  fault: undefined,
  ...over,
});

describe('apply progress', () => {
  test('a partition is stalled when it has work and does none for long', () => {
    const progress = new ApplyProgress(1000);
    const behind = replica({ appliedLsn: asLsn(5) });
    expect(progress.observe(0, [behind])).toEqual([]);
    expect(progress.observe(999, [behind])).toEqual([]);
    expect(progress.observe(1000, [behind])).toEqual(['partition 1 applies nothing: at LSN 5 of 10 for 1 s']);
    expect(progress.observe(1500, [replica({ appliedLsn: asLsn(6) })])).toEqual([]);
    expect(progress.observe(2400, [replica({ appliedLsn: asLsn(6) })])).toEqual([]);
    expect(progress.observe(9000, [replica()])).toEqual([]);
    // Idle for long, then new work: the clock starts with the work.
    expect(progress.observe(90_000, [replica()])).toEqual([]);
    expect(progress.observe(90_500, [replica({ commitLsn: asLsn(11) })])).toEqual([]);
  });
});

function makeHealth(replicas: () => ObservedReplica[]): { health: Health; clock: ManualClock; changes: boolean[] } {
  const clock = new ManualClock();
  const changes: boolean[] = [];
  const health = new Health({ clock, replicas, degraded: () => undefined, onChange: (ready) => changes.push(ready) });
  return { health, clock, changes };
}

describe('health', () => {
  test('follows phases, leaders, faults and stalls', async () => {
    let current = replica();
    const { health, clock, changes } = makeHealth(() => [current]);
    health.run();
    expect(health.readiness.reasons).toEqual(['the node is starting']);
    health.setPhase('serving');
    expect(health.readiness.healthy).toBe(true);
    current = replica({ hasLeader: false });
    await clock.advance(1000);
    expect(health.readiness.reasons).toEqual(['partition 1 has no leader']);
    current = replica({ fault: 'broken' });
    expect(health.readiness.reasons).toEqual(['partition 1 has stopped: broken']);
    expect(health.liveness.healthy).toBe(true);
    current = replica({ appliedLsn: asLsn(3) });
    for (let second = 0; second < 40; second++) await clock.advance(1000);
    expect(health.liveness.reasons[0]).toContain('applies nothing');
    current = replica();
    await clock.advance(1000);
    health.setPhase('draining');
    expect(health.readiness.reasons).toEqual(['the node is draining']);
    expect(changes).toEqual([true, false, true, false, true, false]);
    await health.stop();
  });
});

describe('disk watch', () => {
  function make(freeBytes: () => number | Error): { watch: DiskWatch; admission: AppendAdmission; clock: ManualClock } {
    const clock = new ManualClock();
    const admission = new AppendAdmission({ inFlightBytesMax: 10, inFlightItemsMax: 10 });
    const disk = {
      freeBytes: async () => {
        const value = freeBytes();
        if (value instanceof Error) throw value;
        return value;
      },
    };
    const environment = { clock, disk, logger: noLogger, metrics: noMetrics } as unknown as Environment;
    const options = { directory: '/data', lowWaterMarkBytes: 1000, checkIntervalMs: 100 };
    return { watch: new DiskWatch(environment, admission, options), admission, clock };
  }

  test('refuses below the mark, and recovers by itself a quarter above it', async () => {
    expect(resumeMarkBytes(1000)).toBe(1250);
    let free: number | Error = 1000;
    const { watch, admission, clock } = make(() => free);
    await watch.run();
    expect(watch.isFull).toBe(false);
    const steps: [number | Error, boolean][] = [
      [999, true],
      [1001, true],
      [1249, true],
      [new DiskError('EIO', '/data', 'unknown'), true],
      [1250, false],
      [1000, false],
      [0, true],
      [5000, false],
    ];
    for (const [value, full] of steps) {
      free = value;
      await clock.advance(100);
      expect([value, watch.isFull]).toEqual([value, full]);
      if (full) expect(() => admission.admit(1)).toThrow('disk.lowWaterMarkBytes');
      else admission.admit(1)();
    }
    await watch.stop();
  });
});

describe('http', () => {
  async function start(replicas: () => ObservedReplica[]): Promise<{ url: string; health: Health }> {
    const { health } = makeHealth(replicas);
    const server = new HttpServer({
      host: '127.0.0.1',
      port: 0,
      health,
      logger: noLogger,
      metricsText: async () => 'a_total 1\n',
    });
    const port = await server.run();
    onTestFinished(() => server.stop());
    return { url: `http://127.0.0.1:${port}`, health };
  }

  test('metrics, liveness and readiness with reasons', async () => {
    let current = replica();
    const { url, health } = await start(() => [current]);
    const metrics = await fetch(`${url}/metrics`);
    expect(metrics.headers.get('content-type')).toContain('version=0.0.4');
    expect(await metrics.text()).toBe('a_total 1\n');
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const starting = await fetch(`${url}/readyz`);
    expect(starting.status).toBe(503);
    expect(await starting.json()).toEqual({ ready: false, reasons: ['the node is starting'], degraded: [] });
    health.setPhase('serving');
    expect((await fetch(`${url}/readyz?verbose`)).status).toBe(200);
    current = replica({ fault: 'broken' });
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({
      ready: false,
      reasons: ['partition 1 has stopped: broken'],
    });
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
    const head = await fetch(`${url}/healthz`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('a port in use names address and setting', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    const { health } = makeHealth(() => []);
    const server = new HttpServer({ host: '127.0.0.1', port, health, logger: noLogger, metricsText: async () => '' });
    await expect(server.run()).rejects.toMatchObject({
      reason: 'ADDRESS_IN_USE',
      facts: { address: `127.0.0.1:${port}`, setting: 'httpPort' },
    });
    await server.stop();
  });
});

test('addresses', () => {
  expect(formatAddress('127.0.0.1', 1)).toBe('127.0.0.1:1');
  expect(formatAddress('::1', 2)).toBe('[::1]:2');
  expect(formatAddress('[::1]', 2)).toBe('[::1]:2');
});
