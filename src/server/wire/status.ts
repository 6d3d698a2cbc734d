/**
 * `google.rpc.Status` with its details (google/rpc/status.proto, google/rpc/error_details.proto), as clients of every
 * language expect it in the trailer `grpc-status-details-bin`.
 */
import { ProtobufError, ProtobufReader, ProtobufWriter } from '../../base/protobuf.js';
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
  // Its presence says that the request may be sent again, so that a client needs no table of reasons.
  if (error.retryable || error.retryAfterMs !== undefined) {
    status.message(3, anyOf('google.rpc.RetryInfo', retryInfo(error.retryAfterMs)));
  }
  return Buffer.from(status.finish());
}

/** Without a hint it has no delay. */
function retryInfo(hintMs: number | undefined): ProtobufWriter {
  const info = new ProtobufWriter();
  if (hintMs === undefined) return info;
  const delayMs = Math.max(1, Math.ceil(hintMs));
  const duration = new ProtobufWriter().int64(1, Math.floor(delayMs / 1000)).int64(2, (delayMs % 1000) * 1_000_000);
  return info.message(1, duration);
}

function anyOf(type: string, message: ProtobufWriter): ProtobufWriter {
  return new ProtobufWriter().string(1, `type.googleapis.com/${type}`).message(2, message);
}

/** What an error says for programs: `google.rpc.ErrorInfo`. */
export interface ErrorInfo {
  readonly reason: string;
  readonly facts: Readonly<Record<string, string>>;
}

/** The ErrorInfo of an encoded status; undefined when there is none of ours. */
export function decodeErrorInfo(bytes: unknown): ErrorInfo | undefined {
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    const reader = new ProtobufReader(bytes);
    let info: ErrorInfo | undefined;
    while (reader.next()) {
      if (reader.field === 3) info = infoOfAny(reader.message()) ?? info;
      else reader.skip();
    }
    return info;
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    return undefined;
  }
}

function infoOfAny(any: ProtobufReader): ErrorInfo | undefined {
  let type = '';
  let value: ProtobufReader | undefined;
  while (any.next()) {
    if (any.field === 1) type = any.string();
    else if (any.field === 2) value = any.message();
    else any.skip();
  }
  return value !== undefined && type.endsWith('/google.rpc.ErrorInfo') ? readErrorInfo(value) : undefined;
}

function readErrorInfo(reader: ProtobufReader): ErrorInfo | undefined {
  let reason = '';
  let ofDomain = '';
  const facts: Record<string, string> = {};
  while (reader.next()) {
    if (reader.field === 1) reason = reader.string();
    else if (reader.field === 2) ofDomain = reader.string();
    else if (reader.field === 3) Object.assign(facts, readFact(reader.message()));
    else reader.skip();
  }
  return ofDomain === domain ? { reason, facts } : undefined;
}

function readFact(entry: ProtobufReader): Record<string, string> {
  let name = '';
  let value = '';
  while (entry.next()) {
    if (entry.field === 1) name = entry.string();
    else if (entry.field === 2) value = entry.string();
    else entry.skip();
  }
  return { [name]: value };
}
