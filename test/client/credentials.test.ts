import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Credentials } from '../../src/client/credentials.js';
import { LogboomClient } from '../../src/client/index.js';

function directory(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'logboom-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test.each(['10.0.0.1:7400', 'logs.example:7400', '[2001:db8::1]:7400', '127.0.0.1.example:7400', '0.0.0.0:7400'])(
  'a token is not sent to %s unencrypted unless that is said in so many words',
  (address) => {
    expect(() => new LogboomClient({ address, token: 't' })).toThrow(/the token is not sent to .* unencrypted/);
    expect(() => new LogboomClient({ addresses: ['127.0.0.1:1', address], token: 't' })).toThrow(/unencrypted/);
    for (const more of [{ allowPlaintextToken: true }, { tls: true }] as const)
      expect(() => new LogboomClient({ address, token: 't', ...more })).not.toThrow();
    expect(() => new LogboomClient({ address })).not.toThrow();
  },
);

test.each(['127.0.0.1:7400', 'localhost:7400', '[::1]:7400'])('but to %s it is', (address) => {
  expect(() => new LogboomClient({ address, token: 't' })).not.toThrow();
});

test('nor to an address that a node tells of', () => {
  const credentials = new Credentials({ token: 't' }, ['127.0.0.1:1']);
  expect(credentials.mayUse('127.0.0.1:2')).toBe(true);
  expect(credentials.mayUse('10.0.0.1:2')).toBe(false);
  expect(() => credentials.metadata('10.0.0.1:2')).toThrow(/unencrypted/);
});

test('a token file is read again: after a second, and when its token was refused', () => {
  const file = path.join(directory(), 'token');
  writeFileSync(file, ' first\n');
  let nowMs = 0;
  const credentials = new Credentials({ tokenFile: file }, [], () => nowMs);
  const sent = (): unknown => credentials.metadata('127.0.0.1:1').get('authorization')[0];
  expect(sent()).toBe('Bearer first');
  writeFileSync(file, 'second');
  expect(sent()).toBe('Bearer first');
  nowMs = 1001;
  expect(sent()).toBe('Bearer second');
  const before = credentials.metadata('127.0.0.1:1');
  expect(credentials.hasChangedSince(before)).toBe(false);
  writeFileSync(file, 'third');
  expect(credentials.hasChangedSince(before)).toBe(true);
  expect(sent()).toBe('Bearer third');
  // What cannot be used for the moment leaves what there was.
  for (const content of ['', 'two words', 'ümlaut']) {
    writeFileSync(file, content);
    nowMs += 1001;
    expect(sent()).toBe('Bearer third');
  }
});

test('what cannot be used is refused at once, by name', () => {
  const file = (name: string, content: string): string => {
    const at = path.join(directory(), name);
    writeFileSync(at, content);
    return at;
  };
  expect(() => new LogboomClient({ tokenFile: '/nowhere/token' })).toThrow(/\/nowhere\/token cannot be read/);
  expect(() => new LogboomClient({ tokenFile: file('token', '\n') })).toThrow(/is empty/);
  expect(() => new LogboomClient({ token: 'two words' })).toThrow(/printable ASCII/);
  expect(() => new LogboomClient({ token: 'a', tokenFile: 'b' })).toThrow(/both given/);
  expect(() => new LogboomClient({ tls: { caFile: '/nowhere/ca.pem' } })).toThrow(/\/nowhere\/ca.pem cannot be read/);
  expect(() => new LogboomClient({ tls: { certFile: file('a', '') } })).toThrow(/come together/);
  const [certFile, keyFile] = [file('cert', 'no'), file('key', 'no')];
  expect(() => new LogboomClient({ tls: { certFile, keyFile } })).toThrow(/cannot be used/);
});
