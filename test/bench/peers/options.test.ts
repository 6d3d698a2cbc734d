import { expect, test } from 'vitest';
import { parseOptions, UsageError } from '../../../bench/peers/options.js';
import { workloads } from '../../../bench/peers/workloads.js';

const names = (items: readonly { readonly name: string }[]): readonly string[] => items.map(({ name }) => name);

test('without options everything is measured, against the peers without their variants', () => {
  const options = parseOptions([]);
  expect(names(options.systems)).toEqual(['logboom', 'jetstream', 'etcd', 'kafka']);
  expect(options.workloads).toEqual(workloads);
  expect(options).toMatchObject({ rounds: 3, minutes: undefined, together: false, everyCodec: true });
});

test('the smoke form is small, and every option still counts', () => {
  const options = parseOptions(['--smoke', '--systems', 'logboom', '--seconds', '2']);
  expect(names(options.systems)).toEqual(['logboom']);
  expect(options).toMatchObject({ rounds: 1, together: true, everyCodec: false });
  expect(options.sizes.seconds).toBe(2);
  expect(options.sizes.readBytes).toBeLessThan(16 << 20);
  expect(new Set(options.workloads.map(({ kind }) => kind))).toEqual(new Set(workloads.map(({ kind }) => kind)));
});

test('workloads are chosen by name, or by how several begin', () => {
  expect(names(parseOptions(['--workloads', 'append-4k,tail']).workloads)).toEqual([
    'append-4k-text',
    'append-4k-random',
    'tail',
  ]);
  // A whole name is that one alone, though others begin with it.
  expect(names(parseOptions(['--workloads', 'streams-1']).workloads)).toEqual(['streams-1']);
});

test('what is wrong is named', () => {
  const refusal =
    (...args: string[]): (() => unknown) =>
    () =>
      parseOptions(args);
  expect(refusal('--systems', 'logboom,redis')).toThrow('there is no system "redis"');
  expect(refusal('--workloads', 'appendix')).toThrow('there is no workload "appendix"');
  expect(refusal('--rounds', 'many')).toThrow('--rounds is a number above 0, not "many"');
  expect(refusal('--rounds', '1.5')).toThrow('--rounds is a whole number');
  expect(refusal('--minutes', '0')).toThrow('--minutes is a number above 0');
  expect(refusal('--nice=-21')).toThrow('--nice is a whole number from -20 to 19, not "-21"');
  expect(refusal('--fast')).toThrow(UsageError);
});
