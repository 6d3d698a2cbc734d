/** Appends of a session that another node has sent to a node which was elected a moment ago. */
import { expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asPartitionId } from '../../src/base/ids.js';
import { ProtobufWriter } from '../../src/base/protobuf.js';
import { ArrivedAppends } from '../../src/server/forwarding/arrived-appends.js';
import { encodeAppendSessionOk } from '../../src/server/wire/responses.js';
import { streamCodecs } from './support/proto-codecs.js';
import type { Route } from '../../src/server/forwarding/leaders.js';
import type { SessionAppends, SessionRequest } from '../../src/server/services/session-appends.js';

const varint = (number: number): Uint8Array => new ProtobufWriter().uint64(1, number).finish().subarray(1);
const request = (number: number): SessionRequest => ({
  message: Buffer.from([number]),
  requestId: varint(number),
  append: new ProtobufWriter().string(1, 'web').finish(),
});
const decode = streamCodecs('AppendSession').decodeResponse;

class Setup {
  isServing = false;
  readonly proposed: number[] = [];
  readonly appends: ArrivedAppends;
  serve = (): void => {};
  refuse = (_error: Error): void => {};
  #previous: Promise<void> = Promise.resolve();

  constructor() {
    const arriving = new Promise<Route>((resolve, reject) => {
      this.serve = () => {
        this.isServing = true;
        resolve({ type: 'local' });
      };
      this.refuse = reject;
    });
    arriving.catch(() => {});
    const local: SessionAppends = {
      answer: async ({ message, requestId }, _signal, turn) => {
        await turn.previous;
        this.proposed.push(message[0] as number);
        turn.done();
        const result = { type: 'appended', streamEpoch: 1, firstSeq: 0, lastSeq: 0, lsn: 1, appendTimeMs: 1 };
        return encodeAppendSessionOk(requestId, result as unknown as Parameters<typeof encodeAppendSessionOk>[1]);
      },
      close: () => {},
    };
    this.appends = new ArrivedAppends(
      {
        leaders: {
          routeOf: () => (this.isServing ? { type: 'local' } : undefined),
          arrived: () => arriving,
        },
        partitionOf: () => asPartitionId(1),
        publicError: (error) => error as LogboomError,
      },
      local,
    );
  }

  send(number: number): Promise<Buffer> {
    const previous = this.#previous;
    let done = (): void => {};
    const own = new Promise<void>((resolve) => (done = resolve));
    this.#previous = previous.then(() => own);
    return this.appends.answer(request(number), new AbortController().signal, { previous, done });
  }
}

test('wait until it serves, and keep their order with those that come later', async () => {
  const setup = new Setup();
  const early = [setup.send(1), setup.send(2)];
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(setup.proposed).toEqual([]);
  setup.serve();
  const late = setup.send(3);
  await Promise.all([...early, late]);
  expect(setup.proposed).toEqual([1, 2, 3]);
});

test('are refused when it never comes to serve, and hold up nothing', async () => {
  const setup = new Setup();
  const refused = setup.send(1);
  setup.refuse(new LogboomError('NOT_LEADER', 'node 2 leads'));
  expect(decode(await refused)).toMatchObject({ requestId: '1', error: { reason: 'NOT_LEADER' } });
  setup.serve();
  await setup.send(2);
  expect(setup.proposed).toEqual([2]);
});
