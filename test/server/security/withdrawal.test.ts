/** A token that is withdrawn, expires or loses a right while calls with it are under way. */
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { authorizationOf, RawClient, reasonOfError, startSecuredNode } from '../support/secured-node.js';
import type { OpenCall, SecuredNode, TestTokens } from '../support/secured-node.js';
import { batchOf } from '../support/test-node.js';

/** Files are looked at every second; two are documented, and a busy machine may be late. */
const boundMs = 4000;

const everything = { streams: '*', rights: ['append', 'read', 'admin'] } as const;
const owner = { token: 'owner', grants: [everything] };
const guest = { token: 'guest', grants: [{ streams: 'web', rights: ['append', 'read'] as const }] };

interface Setup {
  readonly node: SecuredNode;
  readonly client: RawClient;
  readonly tail: OpenCall;
  readonly session: OpenCall;
}

const append = (requestId: number): object => ({ requestId, append: { stream: 'web', batch: batchOf(['a']) } });

/** A tail and a session of `guest`, and one tail of somebody else. */
async function start(tokens: TestTokens): Promise<Setup> {
  const node = await startSecuredNode(tokens);
  const client = new RawClient(node.node.addresses.grpc);
  expect(await client.reasonOf('CreateStream', { name: 'web' }, 'owner')).toBe('OK');
  const tail = client.open('Tail', { stream: 'web', fromSeq: 0 }, authorizationOf('guest'));
  const session = client.open('AppendSession', append(1), authorizationOf('guest'));
  await session.until(1);
  await tail.until(1);
  return { node, client, tail, session };
}

async function endedWithin(call: OpenCall, ms: number): Promise<string> {
  const timeout = new Promise<'open'>((resolve) => setTimeout(() => resolve('open'), ms));
  const ended = await Promise.race([call.ended, timeout]);
  return ended === 'open' ? 'open' : ended === undefined ? 'OK' : reasonOfError(ended);
}

const counter = (metrics: string, outcome: string): number =>
  Number(new RegExp(`logboom_security_reloads_total{[^}]*outcome="${outcome}"[^}]*} (\\d+)`).exec(metrics)?.[1] ?? 0);

test('a withdrawn token ends its tails and sessions, and leaves those of others', async () => {
  const { node, client, tail, session } = await start({ owner, guest });
  const others = client.open('Tail', { stream: 'web', fromSeq: 0 }, authorizationOf('owner'));
  await others.until(1);
  await node.setTokens({ owner });
  expect(await Promise.all([tail, session].map((call) => endedWithin(call, boundMs)))).toEqual([
    'TOKEN_INVALID',
    'TOKEN_INVALID',
  ]);
  expect(await client.reasonOf('Read', { stream: 'web' }, 'guest')).toBe('TOKEN_INVALID');
  expect(await endedWithin(others, 100)).toBe('open');
  const seen = others.messages.length;
  expect(await client.reasonOf('Append', { stream: 'web', batch: batchOf(['b']) }, 'owner')).toBe('OK');
  await others.until(seen + 1);
  others.cancel();
  expect(counter(await node.metrics(), 'in-force')).toBe(1);
});

test('a token that expires ends its tails and sessions', async () => {
  const expires = new Date(Date.now() + 2500).toISOString();
  const { client, tail, session } = await start({ owner, guest: { ...guest, expires } });
  expect(await Promise.all([tail, session].map((call) => endedWithin(call, 2500 + boundMs)))).toEqual([
    'TOKEN_EXPIRED',
    'TOKEN_EXPIRED',
  ]);
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expires));
  expect(await client.reasonOf('Read', { stream: 'web' }, 'guest')).toBe('TOKEN_EXPIRED');
});

test('a right that is taken away ends what needs it, and a session learns of it with its next append', async () => {
  const { node, client, tail, session } = await start({ owner, guest });
  await node.setTokens({ owner, guest: { ...guest, grants: [{ streams: 'web', rights: ['append'] }] } });
  expect(await endedWithin(tail, boundMs)).toBe('PERMISSION_DENIED');
  session.write(append(2));
  await session.until(2);
  expect(session.messages[1]).toMatchObject({ requestId: '2', result: 'ok' });
  await node.setTokens({ owner, guest: { ...guest, grants: [{ streams: 'web', rights: ['read'] }] } });
  for (;;) {
    if ((await client.reasonOf('Read', { stream: 'web' }, 'guest')) === 'OK') break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  session.write(append(3));
  await session.until(3);
  expect(session.messages[2]).toMatchObject({ requestId: '3', error: { reason: 'PERMISSION_DENIED' } });
  session.end();
  expect(await session.ended).toBeUndefined();
});

test('a damaged tokens file is refused, told and counted; the tokens before it stay in force until it is repaired', async () => {
  const { node, client, tail } = await start({ owner, guest });
  await writeFile(node.tokensFile, 'version: 1\ntokens: [{name: guest, sha265: x}]');
  expect(await endedWithin(tail, 2 * boundMs)).toBe('open');
  expect(await client.reasonOf('Read', { stream: 'web' }, 'guest')).toBe('OK');
  const metrics = await node.metrics();
  // Once, however often it is looked at.
  expect(counter(metrics, 'refused')).toBe(1);
  expect(counter(metrics, 'in-force')).toBe(0);
  await node.setTokens({ owner });
  expect(await endedWithin(tail, boundMs)).toBe('TOKEN_INVALID');
  expect(counter(await node.metrics(), 'in-force')).toBe(1);
});
