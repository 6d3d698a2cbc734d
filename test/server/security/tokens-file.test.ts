import fc from 'fast-check';
import { parse } from 'yaml';
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../../src/base/errors.js';
import { clusterRights, streamRights } from '../../../src/server/security/rights.js';
import { digestOf, newToken, TokenTable } from '../../../src/server/security/token-table.js';
import { formatTokenEntry, parseTokensFile, withTokenEntry } from '../../../src/server/security/tokens-file.js';
import type { TokenEntry } from '../../../src/server/security/tokens-file.js';

const digest = 'ab'.repeat(32);
const other = 'cd'.repeat(32);

function refusal(text: string): string {
  try {
    parseTokensFile('tokens.yaml', text);
  } catch (error) {
    if (!isLogboomError(error, 'CONFIGURATION_INVALID')) throw error;
    return error.message;
  }
  throw new Error('the file was accepted');
}

test('a file with everything', () => {
  const text = `
version: 1
tokens:
  - name: web-shipper
    sha256: ${digest.toUpperCase()}
    expires: 2027-01-01T12:00:00+02:00
    grants:
      - streams: web-*
        rights: [append, read]
      - streams: [app, 'db/*']
        rights: [admin]
    cluster: [read]
  - name: 007 # looks like a number, and is a name
    sha256: ${other}
`;
  expect(parseTokensFile('tokens.yaml', text)).toEqual([
    {
      name: 'web-shipper',
      sha256: digest,
      expiresUnixMs: Date.UTC(2027, 0, 1, 10),
      grants: [
        { streams: ['web-*'], rights: ['append', 'read'] },
        { streams: ['app', 'db/*'], rights: ['admin'] },
      ],
      cluster: ['read'],
    },
    { name: '007', sha256: other, expiresUnixMs: undefined, grants: [], cluster: [] },
  ]);
  expect(parseTokensFile('tokens.yaml', 'version: 1\ntokens: []')).toEqual([]);
  expect(parseTokensFile('tokens.yaml', JSON.stringify(parse(text, { schema: 'failsafe' })))).toHaveLength(2);
});

describe('what is wrong is named', () => {
  const entry = (fields: string): string => `version: 1\ntokens: [{name: a, sha256: ${digest}, ${fields}}]`;
  test.each<[string, string[]]>([
    ['', ['the content must be a set of fields']],
    ['tokens: []', ['version', 'must be 1']],
    ['version: 2\ntokens: []', ['version must be 1']],
    ['version: 1', ['tokens is missing']],
    ['version: 1\ntokens: {}', ['tokens must be a list']],
    ['version: 1\ntoken: []', ['field "token" is unknown; did you mean tokens?']],
    ['version: 1\ntokens: [', ['neither YAML nor JSON']],
    ['version: 1\nversion: 1\ntokens: []', ['neither YAML nor JSON', 'unique']],
    [`version: 1\ntokens: [{sha256: ${digest}}]`, ['tokens[0].name is missing']],
    ['version: 1\ntokens: [{name: a}]', ['tokens[0].sha256 is missing']],
    ['version: 1\ntokens: [{name: a, sha256: secret}]', ['tokens[0].sha256 is not a SHA-256 digest']],
    ['version: 1\ntokens: [{name: "a b", sha256: x}]', ['tokens[0].name is not a name']],
    [entry('expire: 2027-01-01'), ['tokens[0]: field "expire" is unknown; did you mean expires?']],
    [entry('expires: tomorrow'), ['tokens[0].expires is not a time such as 2027-01-31']],
    [entry('expires: 2027-01-01T12:00:00'), ['tokens[0].expires is not a time']],
    [entry('expires: 2027-13-01'), ['tokens[0].expires is not a time']],
    [entry('grants: [{streams: "*", rights: [write]}]'), ['grants[0].rights[0] is "write"', 'append or read or admin']],
    [entry('grants: [{streams: "*", rights: []}]'), ['grants[0].rights is empty']],
    [entry('grants: [{streams: [], rights: [read]}]'), ['grants[0].streams is empty']],
    [entry('grants: [{streams: "a?", rights: [read]}]'), ['grants[0].streams[0] may consist of']],
    [entry('grants: [{rights: [read]}]'), ['grants[0].streams']],
    [entry('grants: [{streams: a}]'), ['grants[0].rights is missing']],
    [entry('grants: [{stream: a, rights: [read]}]'), ['field "stream" is unknown; did you mean streams?']],
    [entry('cluster: [append]'), ['tokens[0].cluster[0] is "append"; it must be read or admin']],
    [
      `version: 1\ntokens: [{name: a, sha256: ${digest}}, {name: a, sha256: ${digest}}]`,
      ['tokens[1].name is that of tokens[0]', 'tokens[1].sha256 is that of tokens[0]'],
    ],
  ])('%s', (text, parts) => {
    const message = refusal(text);
    expect(message).toContain('the tokens file tokens.yaml: ');
    for (const part of parts) expect(message).toContain(part);
  });
});

const word = fc.stringMatching(/^[a-z0-9][a-z0-9._:/@-]{0,20}$/);
const entryArbitrary: fc.Arbitrary<TokenEntry> = fc.record({
  name: word,
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  expiresUnixMs: fc.option(fc.integer({ min: 0, max: 4e12 }), { nil: undefined }),
  grants: fc.array(
    fc.record({
      streams: fc.array(fc.stringMatching(/^[a-z0-9*][a-z0-9.*_:/-]{0,20}$/), { minLength: 1, maxLength: 3 }),
      rights: fc.uniqueArray(fc.constantFrom(...streamRights), { minLength: 1 }),
    }),
    { maxLength: 3 },
  ),
  cluster: fc.uniqueArray(fc.constantFrom(...clusterRights)),
});

test('what is written is read, also added to a file with comments', () => {
  const unique = fc.uniqueArray(entryArbitrary, {
    maxLength: 4,
    comparator: (a, b) => a.name === b.name || a.sha256 === b.sha256,
  });
  fc.assert(
    fc.property(unique, (entries) => {
      let text = '';
      for (const entry of entries) text = withTokenEntry('f', text, entry);
      if (entries.length > 0) expect(parseTokensFile('f', text)).toEqual(entries);
      const listed = `version: 1\ntokens:\n${entries.map(formatTokenEntry).join('')}`;
      if (entries.length > 0) expect(parseTokensFile('f', listed)).toEqual(entries);
    }),
  );
  const first = { name: 'a', sha256: digest, expiresUnixMs: undefined, grants: [], cluster: [] };
  const kept = `# who may do what\nversion: 1\ntokens:\n  # the first\n  - name: a\n    sha256: ${digest}\n`;
  const added = withTokenEntry('f', kept, { ...first, name: 'b', sha256: other });
  expect(added).toContain('# who may do what');
  expect(added).toContain('# the first');
  expect(() => withTokenEntry('f', kept, first)).toThrow(/name is that of tokens\[0\]/);
  expect(() => withTokenEntry('f', 'damaged', first)).toThrow(/the content must be/);
});

test('no text ends in anything but entries or CONFIGURATION_INVALID', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      'version: 1',
      'tokens:',
      '  - name: a',
      `    sha256: ${digest}`,
      '    grants: [*a]',
      '__proto__: {}',
      '&a',
      '- {}',
    ),
  );
  fc.assert(
    fc.property(fc.array(piece), (lines) => {
      try {
        parseTokensFile('f', lines.join('\n'));
      } catch (error) {
        if (!isLogboomError(error, 'CONFIGURATION_INVALID')) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

test('a table finds each of its tokens, and no other one', () => {
  const tokens = Array.from({ length: 50 }, () => newToken());
  expect(new Set(tokens).size).toBe(50);
  const entry = (token: string, name: string): TokenEntry => ({
    name,
    sha256: digestOf(token).toString('hex'),
    expiresUnixMs: undefined,
    grants: [],
    cluster: [],
  });
  const table = new TokenTable(tokens.map((token, index) => entry(token, `t${index}`)));
  for (const [index, token] of tokens.entries()) expect(table.find(token)?.name).toBe(`t${index}`);
  for (const forged of [newToken(), '', tokens[0]!.slice(0, -1), `${tokens[0]}x`, digestOf(tokens[0]!).toString('hex')])
    expect(table.find(forged)).toBeUndefined();
  // The part of the digest that finds candidates is not enough.
  const [token] = tokens as [string];
  const near = digestOf(token);
  near[31] = (near[31] as number) ^ 1;
  expect(table.findDigest(near)).toBeUndefined();
  const twins = new TokenTable([entry(token, 'right'), { ...entry(token, 'wrong'), sha256: near.toString('hex') }]);
  expect(twins.find(token)?.name).toBe('right');
  expect(twins.findDigest(near)?.name).toBe('wrong');
});
