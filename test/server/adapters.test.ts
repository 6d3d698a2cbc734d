import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { LogboomError } from '../../src/base/errors.js';
import { makeLogger } from '../../src/server/adapters/pino-logger.js';
import { PromMetrics } from '../../src/server/adapters/prom-metrics.js';

describe('prom-client', () => {
  const metrics = (): PromMetrics => new PromMetrics({ processMetrics: false });

  test('counters, gauges and histograms, with and without labels', async () => {
    const own = metrics();
    own.counter('a_total', 'Things.').add(2);
    own.counter('a_total', 'Things.').add(3);
    own.gauge('b_bytes', 'Size.').set(7, { partition: '1' });
    own.gauge('b_bytes', 'Size.').set(8, { partition: '2' });
    own.histogram('c_seconds', 'Time.', [0.1, 1]).observe(0.5, { method: 'Read' });
    const text = await own.text();
    expect(text).toContain('# HELP a_total Things.\n# TYPE a_total counter\na_total 5\n');
    expect(text).toContain('b_bytes{partition="1"} 7\nb_bytes{partition="2"} 8\n');
    expect(text).toContain('c_seconds_bucket{le="0.1",method="Read"} 0');
    expect(text).toContain('c_seconds_bucket{le="1",method="Read"} 1');
    expect(text).toContain('c_seconds_count{method="Read"} 1');
  });

  test('two registries of one process stay apart', async () => {
    const [one, two] = [metrics(), metrics()];
    one.counter('a_total', 'Things.').add(1);
    expect(await two.text()).not.toContain('a_total 1');
  });

  test('a metric keeps its kind and its labels', () => {
    const own = metrics();
    own.gauge('b', 'B.').set(1, { x: '1', y: '2' });
    own.gauge('b', 'B.').set(1, { y: '1', x: '2' });
    expect(() => own.counter('b', 'B.')).toThrow(InvariantViolation);
    expect(() => own.gauge('b', 'B.').set(1, { x: '1' })).toThrow('[x,y]');
  });

  test('series are bounded, and what is dropped is counted', async () => {
    const own = metrics();
    const counter = own.counter('a_total', 'Things.');
    for (let index = 0; index < 5100; index++) counter.add(1, { name: `n${index}` });
    const text = await own.text();
    expect(text.match(/^a_total\{/gm)).toHaveLength(5000);
    expect(text).toContain('logboom_metrics_dropped_series_total 100');
  });

  test('the process, with its anonymous memory', async () => {
    const own = new PromMetrics();
    const text = await own.text();
    expect(text).toContain('process_cpu_user_seconds_total');
    if (process.platform === 'linux') expect(text).toMatch(/^logboom_process_anonymous_bytes [1-9]\d{6,}$/m);
    own.close();
  });
});

describe('pino', () => {
  function logged(
    format: 'json' | 'text',
    level: 'debug' | 'info' = 'info',
  ): { logger: ReturnType<typeof makeLogger>; lines: string[] } {
    const lines: string[] = [];
    return { logger: makeLogger({ level, format }, { write: (line) => void lines.push(line) }), lines };
  }

  test('one JSON object a line, with time, level and the fields of children', () => {
    const { logger, lines } = logged('json');
    logger.child({ partition: 3 }).info('the store was flushed', { bytes: 12 });
    logger.debug('not shown');
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0]!) as Record<string, unknown>;
    expect(line).toMatchObject({ level: 'info', msg: 'the store was flushed', partition: 3, bytes: 12 });
    expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(lines[0]).toMatch(/\n$/);
  });

  test('errors show name, reason, message, stack and cause', () => {
    const { logger, lines } = logged('json');
    logger.error('it failed', { error: new LogboomError('DISK_FULL', 'no room', { cause: new Error('ENOSPC') }) });
    expect(JSON.parse(lines[0]!)).toMatchObject({
      error: { name: 'LogboomError', reason: 'DISK_FULL', message: 'no room', cause: { message: 'ENOSPC' } },
    });
  });

  test('text for people', () => {
    const { logger, lines } = logged('text', 'debug');
    logger.warn('two words', { path: '/a b', count: 3, plain: 'x' });
    logger.debug('no fields');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}two words {2}path="\/a b" {2}count=3 {2}plain=x\n$/);
    expect(lines[1]).toMatch(/ debug no fields\n$/);
  });
});
