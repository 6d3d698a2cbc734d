/**
 * `google.rpc.Status` with its details (google/rpc/status.proto, google/rpc/error_details.proto), as clients of every
 * language expect it in the trailer `grpc-status-details-bin`.
 */
import { ProtobufWriter } from '../../base/protobuf.js';
import { errorRegistry } from '../../base/errors.js';
import type { LogboomError } from '../../base/errors.js';

/** Trailers travel in HTTP/2 headers, and many clients take no more than 8 KiB of them. */
const messageCharactersMax = 1000;
const factCharactersMax = 300;
const factsMax = 16;

const domain = 'logboom';

/** Text that is well-formed UTF-16 and not longer than it may be. */
export function boundedText(text: string, charactersMax = messageCharactersMax): string {
  const cut = text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 3)}...`;
  // Through bytes: a lone surrogate becomes U+FFFD, where encodeURI of grpc-js would throw.
  return Buffer.from(cut).toString();
}

/** Facts as text, with what is too many or too long cut off. */
export function boundedFacts(error: LogboomError): readonly (readonly [string, string])[] {
  return Object.entries(error.facts)
    .slice(0, factsMax)
    .map(([name, value]) => [name, boundedText(String(value), factCharactersMax)]);
}

/** An error with bounded message and facts: what a client is told of it. */
export function encodeStatus(error: LogboomError): Buffer {
  const info = new ProtobufWriter().string(1, error.reason).string(2, domain);
  for (const [name, value] of boundedFacts(error)) {
    info.message(3, new ProtobufWriter().string(1, name).string(2, value));
  }
  const status = new ProtobufWriter()
    .int64(1, errorRegistry[error.reason].status)
    .string(2, boundedText(error.message))
    .message(3, anyOf('google.rpc.ErrorInfo', info));
  if (error.retryAfterMs !== undefined) {
    const retryAfterMs = Math.max(1, Math.ceil(error.retryAfterMs));
    const duration = new ProtobufWriter()
      .int64(1, Math.floor(retryAfterMs / 1000))
      .int64(2, (retryAfterMs % 1000) * 1_000_000);
    status.message(3, anyOf('google.rpc.RetryInfo', new ProtobufWriter().message(1, duration)));
  }
  return Buffer.from(status.finish());
}

function anyOf(type: string, message: ProtobufWriter): ProtobufWriter {
  return new ProtobufWriter().string(1, `type.googleapis.com/${type}`).message(2, message);
}
