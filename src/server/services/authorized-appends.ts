import { LogboomError } from '../../base/errors.js';
import { ProtobufError, ProtobufReader } from '../../base/protobuf.js';
import { methodRequirements } from '../security/rights.js';
import { encodeAppendSessionError } from '../wire/responses.js';
import type { Caller } from '../security/gate.js';
import type { AppendTurn, SessionAppends, SessionRequest } from './session-appends.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Lets through, of the appends of a session, those on streams on which its caller may append; others are answered, and do
 * not end the session. A name is decoded and looked up only when it differs from that of the message before it.
 */
export function authorizedAppends(
  caller: Caller,
  appends: SessionAppends,
  publicError: (error: unknown) => LogboomError,
): SessionAppends {
  return caller.isUnlimited ? appends : new AuthorizedAppends(caller, appends, publicError);
}

class AuthorizedAppends implements SessionAppends {
  readonly #caller: Caller;
  readonly #appends: SessionAppends;
  readonly #publicError: (error: unknown) => LogboomError;
  #lastName: Uint8Array | undefined;
  #lastStream = '';

  constructor(caller: Caller, appends: SessionAppends, publicError: (error: unknown) => LogboomError) {
    this.#caller = caller;
    this.#appends = appends;
    this.#publicError = publicError;
  }

  answer(request: SessionRequest, signal: AbortSignal, turn: AppendTurn): Promise<Buffer> {
    try {
      this.#caller.require(methodRequirements.AppendSession, this.#streamOf(request.append));
    } catch (error) {
      turn.done();
      return Promise.resolve(encodeAppendSessionError(request.requestId, this.#publicError(error)));
    }
    return this.#appends.answer(request, signal, turn);
  }

  close(): void {
    this.#appends.close();
  }

  /** As the one who carries it out will read it: the last field 1 counts. */
  #streamOf(append: Uint8Array): string {
    try {
      const name = nameBytesOf(append);
      if (this.#lastName !== undefined && Buffer.compare(name, this.#lastName) === 0) return this.#lastStream;
      this.#lastStream = utf8.decode(name);
      // A copy: the bytes of a message are not to be held for as long as a session lasts.
      this.#lastName = name.slice();
      return this.#lastStream;
    } catch (error) {
      // A TypeError is that of the decoder, for what is no UTF-8.
      if (!(error instanceof ProtobufError) && !(error instanceof TypeError)) throw error;
      throw new LogboomError('INVALID_ARGUMENT', 'the bytes are no AppendRequest that names a stream', {
        cause: error,
      });
    }
  }
}

/** @throws ProtobufError */
function nameBytesOf(append: Uint8Array): Uint8Array {
  let name: Uint8Array = new Uint8Array(0);
  const reader = new ProtobufReader(append);
  while (reader.next()) {
    if (reader.field === 1) name = reader.bytes();
    else reader.skip();
  }
  return name;
}
