/** Appends of one session that go to the leaders of several partitions. */
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId } from '../../src/base/ids.js';
import { ProtobufWriter } from '../../src/base/protobuf.js';
import { AppendAdmission } from '../../src/server/admission.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { RoutedAppends } from '../../src/server/forwarding/routed-appends.js';
import type { PartitionId } from '../../src/base/ids.js';
import type { RemoteCalls } from '../../src/server/forwarding/remote-calls.js';
import type { Leaders, Route } from '../../src/server/forwarding/leaders.js';
import type { AppendTurn, SessionAppends, SessionRequest } from '../../src/server/services/session-appends.js';

/** The session that the other node would see. */
class FakeCall extends EventEmitter {
  readonly written: string[] = [];
  isCancelled = false;

  write(message: Buffer): void {
    this.written.push(message.toString());
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

class Setup {
  readonly routes = new Map<number, Route>();
  readonly calls = new Map<number, FakeCall>();
  readonly admission = new AppendAdmission({ inFlightBytesMax: 1000, inFlightItemsMax: 10 });
  readonly appends: RoutedAppends;
  #watchers: (() => void)[] = [];
  #previous: Promise<void> = Promise.resolve();

  constructor() {
    const leaders = {
      routeOf: (id: PartitionId) => this.routes.get(id),
      await: async (id: PartitionId) => this.routes.get(id) as Route,
      watch: (_id: PartitionId, onChange: () => void) => {
        this.#watchers.push(onChange);
        return () => {};
      },
    };
    const remote = {
      headers: () => undefined,
      client: ({ nodeId }: { readonly nodeId: number }) => ({
        makeBidiStreamRequest: () => {
          const call = new FakeCall();
          this.calls.set(nodeId, call);
          return call;
        },
      }),
      failureOf: () => new LogboomError('LEADERSHIP_LOST', 'the connection was lost'),
    };
    const local: SessionAppends = {
      answer: async (request: SessionRequest, _signal: AbortSignal, turn: AppendTurn) => {
        await turn.previous;
        turn.done();
        return Buffer.from(`local ${request.message.toString()}`);
      },
      close: () => {},
    };
    this.appends = new RoutedAppends({
      local,
      leaders: leaders as unknown as Leaders,
      remote: remote as unknown as RemoteCalls,
      admission: this.admission,
      clock: nodeEnvironmentParts.clock,
      partitionOf: (stream) => asPartitionId(Number(stream)),
      publicError: (error) => error as LogboomError,
      authorization: undefined,
    });
  }

  lead(partition: number, node: number | 'here'): void {
    this.routes.set(
      partition,
      node === 'here' ? { type: 'local' } : { type: 'remote', nodeId: asNodeId(node), address: `n${node}:1` },
    );
    for (const watcher of this.#watchers) watcher();
  }

  append(partition: number, message: string): Promise<string> {
    let done = (): void => {};
    const own = new Promise<void>((resolve) => (done = resolve));
    const turn = { previous: this.#previous, done };
    this.#previous = this.#previous.then(() => own);
    const append = new ProtobufWriter().string(1, String(partition)).finish();
    const request = { message: Buffer.from(message), requestId: Uint8Array.of(7), append };
    return this.appends
      .answer(request, new AbortController().signal, turn)
      .then((bytes) => /LEADERSHIP_LOST|NOT_LEADER/.exec(bytes.toString())?.[0] ?? bytes.toString());
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test('they leave in the order of the session, to one session a node, and come back as they were answered', async () => {
  const setup = new Setup();
  setup.lead(1, 2);
  setup.lead(2, 'here');
  setup.lead(3, 3);
  const answers = [setup.append(1, 'a'), setup.append(2, 'b'), setup.append(3, 'c'), setup.append(1, 'd')];
  await settle();
  expect(setup.calls.get(2)?.written).toEqual(['a', 'd']);
  expect(setup.calls.get(3)?.written).toEqual(['c']);
  expect(setup.admission.inFlight.items).toBe(3);
  setup.calls.get(3)?.emit('data', Buffer.from('stored c'));
  setup.calls.get(2)?.emit('data', Buffer.from('stored a'));
  setup.calls.get(2)?.emit('data', Buffer.from('stored d'));
  expect(await Promise.all(answers)).toEqual(['stored a', 'local b', 'stored c', 'stored d']);
  expect(setup.admission.inFlight).toEqual({ bytes: 0, items: 0 });
});

test('a leader that is silent while another one leads: its appends are of unknown outcome, later ones go on', async () => {
  const setup = new Setup();
  setup.lead(1, 2);
  setup.lead(3, 2);
  const lost = setup.append(1, 'a');
  const kept = setup.append(3, 'b');
  await settle();
  setup.lead(1, 3);
  const next = setup.append(1, 'c');
  expect(await lost).toBe('LEADERSHIP_LOST');
  setup.calls.get(3)?.emit('data', Buffer.from('stored c'));
  expect(await next).toBe('stored c');
  // The old leader's late answers still fit their requests.
  setup.calls.get(2)?.emit('data', Buffer.from('stored a'));
  setup.calls.get(2)?.emit('data', Buffer.from('stored b'));
  expect(await kept).toBe('stored b');
});

test('the end of a session, and of the one behind it, leaves nothing reserved', async () => {
  for (const end of ['error', 'close'] as const) {
    const setup = new Setup();
    setup.lead(1, 2);
    const answer = setup.append(1, 'a');
    await settle();
    expect(setup.admission.inFlight.items).toBe(1);
    if (end === 'error') setup.calls.get(2)?.emit('error', new Error('gone'));
    else setup.appends.close();
    expect(await answer).toBe('LEADERSHIP_LOST');
    expect(setup.admission.inFlight.items).toBe(0);
    expect(setup.calls.get(2)?.isCancelled).toBe(end === 'close');
  }
});
