/** A deliberate bug of the replicas that stream their state, between the server's own code and the network. */
import { asLsn, asPartitionId } from '../../src/base/ids.js';
import {
  decodeOpenAnswer,
  decodePeerRequest,
  encodeOpenAnswer,
  encodePeerRequest,
  manifestPartBytes,
} from '../../src/partition/peer-messages.js';
import { encodeManifest, manifestChecksum, parseManifest } from '../../src/snapshot/manifest.js';
import type { SimulationMutant } from '../mutants.js';
import type { Manager } from './surroundings.js';

type Answer = (partitionId: number, request: Uint8Array) => Promise<Uint8Array>;

const liars = new WeakMap<Manager, Answer>();

export function answerOf(manager: Manager, mutant: SimulationMutant | undefined): Answer {
  const answer: Answer = (partitionId, request) =>
    manager.answer(asPartitionId(partitionId), request, new AbortController().signal);
  if (mutant !== 'peer-state-of-another-lsn') return answer;
  const liar = liars.get(manager) ?? ofTheNextLsn(answer);
  liars.set(manager, liar);
  return liar;
}

/** Everything fits together, down to the last checksum; only that the state is not that of the LSN which it is said to be of. */
function ofTheNextLsn(answer: Answer): Answer {
  const offers = new Map<string, { readonly id: string; readonly bytes: Uint8Array }>();
  const changed = async (partitionId: number, id: string): Promise<Uint8Array> => {
    const whole: Uint8Array[] = [];
    for (let offset = 0; ;) {
      const part = await answer(partitionId, encodePeerRequest({ type: 'manifest', id, offset }));
      whole.push(part);
      offset += part.length;
      if (part.length < manifestPartBytes) break;
    }
    const manifest = parseManifest('a manifest', Buffer.concat(whole));
    return encodeManifest({ ...manifest, lsn: asLsn(manifest.lsn + 1) });
  };
  return async (partitionId, request) => {
    const asked = decodePeerRequest(request);
    if (asked.type === 'open') {
      const offer = decodeOpenAnswer(await answer(partitionId, request));
      if (offer.type === 'preparing') return encodeOpenAnswer(offer);
      const bytes = await changed(partitionId, offer.id);
      const id = manifestChecksum(parseManifest('a manifest', bytes));
      offers.set(id, { id: offer.id, bytes });
      return encodeOpenAnswer({ ...offer, id, lsn: asLsn(offer.lsn + 1), manifestBytes: bytes.length });
    }
    const offer = offers.get(asked.id);
    if (offer === undefined) return answer(partitionId, request);
    if (asked.type === 'manifest') return offer.bytes.subarray(asked.offset, asked.offset + manifestPartBytes);
    return answer(partitionId, encodePeerRequest({ ...asked, id: offer.id }));
  };
}
