import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../../src/base/errors.js';
import type { LogboomError } from '../../../src/base/errors.js';
import { noLogger } from '../../../src/base/ports/logger.js';
import type { LogFields, Logger } from '../../../src/base/ports/logger.js';
import { noMetrics } from '../../../src/base/ports/metrics.js';
import { openGate, TokenGate } from '../../../src/server/security/gate.js';
import type { Caller } from '../../../src/server/security/gate.js';
import { digestOf, TokenTable } from '../../../src/server/security/token-table.js';
import type { TokenEntry } from '../../../src/server/security/tokens-file.js';
import { ManualClock } from '../support/manual-clock.js';

const entryOf = (token: string, more: Partial<TokenEntry> = {}): TokenEntry => ({
  name: token,
  sha256: digestOf(token).toString('hex'),
  expiresUnixMs: undefined,
  grants: [{ streams: ['web-*'], rights: ['append'] }],
  cluster: [],
  ...more,
});

const eachMessage = { on: 'each-message', anyOf: ['append'] } as const;
const ofStream = { on: 'stream', anyOf: ['append'] } as const;

class Setup {
  readonly clock = new ManualClock();
  readonly warnings: LogFields[] = [];
  readonly refused: string[] = [];
  readonly gate: TokenGate;

  constructor(...entries: readonly TokenEntry[]) {
    const logger: Logger = { ...noLogger, warn: (_message, fields = {}) => void this.warnings.push(fields) };
    const counter = { add: (_: number, labels = {}) => void this.refused.push((labels as { reason: string }).reason) };
    const metrics = { ...noMetrics, counter: () => counter };
    this.gate = new TokenGate({ clock: this.clock, logger, metrics }, new TokenTable(entries));
  }

  enter(token: string, ended: LogboomError[] = []): Caller {
    return this.gate.enter('Append', `Bearer ${token}`, (error) => ended.push(error));
  }
}

function reasonOf(action: () => unknown): string {
  try {
    action();
    return 'OK';
  } catch (error) {
    if (!isLogboomError(error)) throw error;
    return error.reason;
  }
}

describe('the header', () => {
  test.each([
    [undefined, 'TOKEN_MISSING'],
    ['', 'TOKEN_MISSING'],
    ['known', 'TOKEN_MISSING'],
    ['Basic known', 'TOKEN_MISSING'],
    ['Bearer', 'TOKEN_MISSING'],
    ['Bearer ', 'TOKEN_MISSING'],
    ['Bearer known known', 'TOKEN_MISSING'],
    ['Bearer unknown', 'TOKEN_INVALID'],
    [`Bearer ${entryOf('known').sha256}`, 'TOKEN_INVALID'],
    ['Bearer known', 'OK'],
    ['bearer known', 'OK'],
    ['BEARER  known ', 'OK'],
  ])('%j: %s', (header, expected) => {
    const { gate } = new Setup(entryOf('known'));
    expect(reasonOf(() => gate.enter('Append', header, () => {}))).toBe(expected);
    expect(gate.refusalOf('Append', header)?.reason ?? 'OK').toBe(expected);
  });
});

test('refusals are counted each, and logged once in ten seconds for each reason, without the token', async () => {
  const setup = new Setup(entryOf('known'));
  for (let attempt = 0; attempt < 5; attempt++) reasonOf(() => setup.enter('secret-guess'));
  reasonOf(() => setup.enter('known').require(ofStream, 'app-1'));
  expect(setup.refused).toEqual([...Array.from({ length: 5 }, () => 'TOKEN_INVALID'), 'PERMISSION_DENIED']);
  expect(setup.warnings.map(({ reason }) => reason)).toEqual(['TOKEN_INVALID', 'PERMISSION_DENIED']);
  await setup.clock.advance(10_000);
  reasonOf(() => setup.enter('secret-guess'));
  expect(setup.warnings.at(-1)).toMatchObject({ reason: 'TOKEN_INVALID', heldBack: 4 });
  expect(JSON.stringify(setup.warnings)).not.toContain('secret-guess');
});

test('a token is valid until the moment of its expiry', async () => {
  const setup = new Setup(entryOf('known', { expiresUnixMs: 1_000_500 }));
  const ended: LogboomError[] = [];
  setup.enter('known', ended);
  await setup.clock.advance(499);
  expect(reasonOf(() => setup.enter('known'))).toBe('OK');
  setup.gate.endExpired();
  expect(ended).toEqual([]);
  await setup.clock.advance(1);
  expect(reasonOf(() => setup.enter('known'))).toBe('TOKEN_EXPIRED');
  setup.gate.endExpired();
  setup.gate.endExpired();
  expect(ended.map(({ reason }) => reason)).toEqual(['TOKEN_EXPIRED']);
});

test('who has left is not ended any more', () => {
  const setup = new Setup(entryOf('known'));
  const ended: LogboomError[] = [];
  const [stays, leaves] = [setup.enter('known', ended), setup.enter('known', ended)];
  leaves.leave();
  setup.gate.replace(new TokenTable([]));
  expect(ended.map(({ reason }) => reason)).toEqual(['TOKEN_INVALID']);
  stays.leave();
  setup.gate.replace(new TokenTable([]));
  expect(ended).toHaveLength(1);
});

test('what a session was allowed is asked again after every change, in both directions', () => {
  const setup = new Setup(entryOf('known'));
  const ended: LogboomError[] = [];
  const session = setup.enter('known', ended);
  const may = (stream: string): string => reasonOf(() => session.require(eachMessage, stream));
  expect([may('web-1'), may('app-1')]).toEqual(['OK', 'PERMISSION_DENIED']);
  setup.gate.replace(new TokenTable([entryOf('known', { grants: [{ streams: ['app-*'], rights: ['append'] }] })]));
  expect([may('web-1'), may('app-1')]).toEqual(['PERMISSION_DENIED', 'OK']);
  // More streams than are remembered.
  for (let index = 0; index < 2500; index++) expect(may(`app-${index}`)).toBe('OK');
  expect(may('web-2500')).toBe('PERMISSION_DENIED');
  expect(ended).toEqual([]);
});

test('a call ends with the right that it was let in by, and with no other one', () => {
  const setup = new Setup(entryOf('known'));
  const ended: LogboomError[] = [];
  setup.enter('known', ended).require(ofStream, 'web-1');
  const grants = (streams: string): TokenEntry['grants'] => [{ streams: [streams], rights: ['append'] }];
  setup.gate.replace(new TokenTable([entryOf('known', { grants: grants('web-1') })]));
  expect(ended).toEqual([]);
  setup.gate.replace(new TokenTable([entryOf('known', { grants: grants('web-2') })]));
  expect(ended.map(({ message }) => message)).toEqual(['token known does not have the right append on stream web-1']);
});

test('without tokens everybody may do everything', () => {
  const caller = openGate.enter('Append', undefined, () => {});
  expect(caller.isUnlimited).toBe(true);
  caller.require(ofStream, 'any');
  expect([caller.mayOn('any', ['admin']), caller.mayOnCluster(['admin'])]).toEqual([true, true]);
  caller.leave();
});
