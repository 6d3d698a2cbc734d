/** Requests from one replica to another, and their answers, over the simulated network: either may be lost, late, or come twice. */
import { LogboomError } from '../../src/base/errors.js';
import type { AskOptions } from '../../src/partition/index.js';
import { answerOf } from './peer-mutants.js';
import type { Machine, Surroundings } from './surroundings.js';

/** A link that carries nothing any more is noticed by then; a slow one needs as long for a chunk. */
const noticedMs = 10_000;
const errorBytes = 200;

interface PeerCall extends AskOptions {
  readonly partitionId: number;
  readonly to: number;
  readonly request: Uint8Array;
}

export function askPeer(
  cluster: Surroundings,
  from: Machine,
  { partitionId, to, request, signal, timeoutMs, answerBytesMax }: PeerCall,
): Promise<Uint8Array> {
  const { network, mutant } = cluster;
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      timer.cancel();
      signal.removeEventListener('abort', giveUp);
      settle();
    };
    const fail = (reason: 'NODE_UNREACHABLE' | 'CANCELLED', message: string): void =>
      end(() => reject(new LogboomError(reason, message)));
    const giveUp = (): void => fail('CANCELLED', 'the caller gave up');
    const timer = from.clock.setTimer(Math.min(timeoutMs, noticedMs), () => fail('NODE_UNREACHABLE', 'no answer came'));
    const target = cluster.nodeOfReplica(partitionId, to);
    if (target === undefined) return fail('NODE_UNREACHABLE', 'no node has this replica');
    signal.addEventListener('abort', giveUp, { once: true });
    const caller = from.manager;
    /** Nothing arrives at another process than the one that has asked. */
    const back = (bytes: number, settle: () => void): void =>
      network.send(target.id, from.id, bytes, () => {
        if (from.manager !== caller) return;
        from.clock.inProcess(() => end(settle));
      });
    network.send(from.id, target.id, request.length, () => {
      const { manager } = target;
      if (manager === undefined) return;
      target.clock.inProcess(() => {
        answerOf(manager, mutant)(partitionId, request).then(
          (answer) => {
            if (target.manager !== manager) return;
            back(answer.length, () => {
              if (answer.length <= answerBytesMax) return resolve(answer);
              reject(new LogboomError('MESSAGE_TOO_LARGE', `${answer.length} bytes, at most ${answerBytesMax}`));
            });
          },
          (error: Error) => {
            if (target.manager === manager) back(errorBytes, () => reject(error));
          },
        );
      });
    });
  });
}
