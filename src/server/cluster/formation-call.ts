/** The call by which nodes ask each other what they are, before and after they belong to a cluster. */
import { z } from 'zod';
import { LogboomError } from '../../base/errors.js';
import { formationRecordSchema, nodeDescriptionSchema } from './formation-record.js';
import type { CallMethod, NodeAddress } from '../../transport/index.js';
import type { FormationState } from './formation-verdict.js';

export const formationMethod = 'formation-state';

const stateSchema: z.ZodType<FormationState> = z.object({
  self: nodeDescriptionSchema,
  listed: z.array(z.object({ id: z.int(), linkAddress: z.string() })),
  partitionCount: z.int(),
  replicationFactor: z.int(),
  record: formationRecordSchema.optional().transform((record) => record),
});

/** @param own what this node is now; with a record only once it is durable */
export function formationHandler(own: () => FormationState): CallMethod {
  return {
    kind: 'unary',
    access: 'open',
    requestBytesMax: 1024,
    handle: async () => new TextEncoder().encode(JSON.stringify(own())),
  };
}

/** @throws LogboomError LINK_CORRUPT */
export function decodeFormationState(answer: Uint8Array): FormationState {
  try {
    return stateSchema.parse(JSON.parse(new TextDecoder().decode(answer)));
  } catch (error) {
    throw new LogboomError('LINK_CORRUPT', 'the answer is not what a node says of itself', { cause: error });
  }
}

/** `HOST:PORT`, which the configuration has checked. */
export function nodeAddress(address: string): NodeAddress {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(colon + 1)) };
}
