/** The call by which a node that belongs to no cluster asks to be let in. */
import { z } from 'zod';
import { LogboomError } from '../../base/errors.js';
import { formationRecordSchema, nodeDescriptionSchema } from './formation-record.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { FormationRecord } from './formation-record.js';

export const joinMethod = 'join-cluster';
/** The same, passed on by a member to the node that leads the metadata. */
export const joinForwardedMethod = 'join-forwarded';

export const joinRequestBytesMax = 16 * 1024;

/**
 * What stands for a node that nobody knows. `shared`: it has what only nodes have, or links are open to whoever reaches them.
 * `certificate`: an authority of links says that it is the host that it says it is, which others may be too: an operator has to
 * approve it.
 */
export type JoinTrust = 'shared' | 'certificate';

const requestSchema = z.object({ node: nodeDescriptionSchema, trust: z.enum(['shared', 'certificate']) });
export type JoinRequest = z.infer<typeof requestSchema>;

const answerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('welcome'), record: formationRecordSchema }),
  z.object({ type: z.literal('wait'), because: z.string() }),
]);
export type JoinAnswer =
  { readonly type: 'welcome'; readonly record: FormationRecord } | { readonly type: 'wait'; readonly because: string };

const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export const encodeJoinRequest = (node: NodeDescription, trust: JoinTrust = 'certificate'): Uint8Array =>
  encode({ node, trust });
export const encodeJoinAnswer = (answer: JoinAnswer): Uint8Array => encode(answer);

/** @throws LogboomError LINK_CORRUPT, as `decodeJoinAnswer` */
export function decodeJoinRequest(bytes: Uint8Array): JoinRequest {
  return decode(requestSchema, bytes, 'request to join');
}

export function decodeJoinAnswer(bytes: Uint8Array): JoinAnswer {
  return decode(answerSchema, bytes, 'answer to a request to join');
}

function decode<Value>(schema: z.ZodType<Value>, bytes: Uint8Array, what: string): Value {
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (error) {
    throw new LogboomError('LINK_CORRUPT', `the bytes are no ${what}`, { cause: error });
  }
}
