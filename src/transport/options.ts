import { LogboomError } from '../base/errors.js';

/** Sizes and times of links. Bytes and milliseconds. */
export interface LinkOptions {
  /** Raft messages that wait for one peer; more are dropped. */
  readonly queueMessagesMax: number;
  /** Their encoded bytes; a single message may go over it when nothing else waits. */
  readonly queueBytesMax: number;
  /** A frame of messages ends at about this size; a larger message has a frame of its own. */
  readonly frameBytesTarget: number;
  /** Longer frames are refused; above the largest entry. */
  readonly frameBytesMax: number;
  /** Bytes handed to the connection and not yet taken by the kernel; one frame may go over it. */
  readonly writeAheadBytes: number;
  /** Flow-control window of one stream. */
  readonly streamWindowBytes: number;
  /** Flow-control window of all streams of a session together. */
  readonly sessionWindowBytes: number;
  /** From the attempt to connect to the peer's answer to the handshake. */
  readonly connectTimeoutMs: number;
  readonly pingIntervalMs: number;
  /** Without an answer to a ping for this long, a session is torn down. */
  readonly pingTimeoutMs: number;
  /** Bytes that the connection does not take for this long tear it down. */
  readonly stallTimeoutMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A link that lived this long starts over with the shortest backoff. */
  readonly stableAfterMs: number;
  /** An incoming session that shows no member's credentials for this long is closed. */
  readonly handshakeTimeoutMs: number;
  /** Incoming sessions. */
  readonly sessionsMax: number;
  /** Calls under way to one peer, and served to one session. */
  readonly callsMax: number;
  /** Request bytes of calls under way to one peer; a single call may go over it. */
  readonly callBytesMax: number;
  /** Of a call that names no deadline of its own. */
  readonly callDeadlineMs: number;
  /** Of a call that names no other limit: bytes of its answer, or of each message of it. */
  readonly callResponseBytesMax: number;
  /** A refusal by the same peer is logged at most this often. */
  readonly refusalLogIntervalMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultLinkOptions: LinkOptions = {
  queueMessagesMax: 65_536,
  queueBytesMax: 32 * mebibyte,
  frameBytesTarget: mebibyte,
  frameBytesMax: 64 * mebibyte,
  writeAheadBytes: 4 * mebibyte,
  streamWindowBytes: 8 * mebibyte,
  sessionWindowBytes: 16 * mebibyte,
  connectTimeoutMs: 3000,
  pingIntervalMs: 1000,
  pingTimeoutMs: 5000,
  stallTimeoutMs: 30_000,
  backoffMinMs: 50,
  backoffMaxMs: 2000,
  stableAfterMs: 5000,
  handshakeTimeoutMs: 10_000,
  sessionsMax: 1024,
  callsMax: 4096,
  callBytesMax: 64 * mebibyte,
  callDeadlineMs: 10_000,
  callResponseBytesMax: 40 * mebibyte,
  refusalLogIntervalMs: 30_000,
};

/**
 * `options` over the defaults, checked.
 *
 * @throws LogboomError CONFIGURATION_INVALID
 */
export function resolveLinkOptions(options: Partial<LinkOptions>): LinkOptions {
  const resolved = { ...defaultLinkOptions, ...options };
  const invalid = (message: string): never => {
    throw new LogboomError('CONFIGURATION_INVALID', `links between nodes: ${message}`);
  };
  for (const [name, value] of Object.entries<number>({ ...resolved })) {
    if (!Number.isFinite(value) || value <= 0) invalid(`${name} is ${value}; it must be a positive number`);
  }
  const { streamWindowBytes, sessionWindowBytes, backoffMinMs, backoffMaxMs, frameBytesMax } = resolved;
  if (backoffMinMs > backoffMaxMs) invalid(`backoffMinMs, ${backoffMinMs}, exceeds backoffMaxMs, ${backoffMaxMs}`);
  if (frameBytesMax >= 2 ** 31) invalid(`frameBytesMax is ${frameBytesMax}; it must be below 2 GiB`);
  for (const [name, bytes] of Object.entries({ streamWindowBytes, sessionWindowBytes })) {
    if (!Number.isInteger(bytes) || bytes < 65_535 || bytes >= 2 ** 31) {
      invalid(`${name} is ${bytes}; it must be a whole number in [65535, 2^31)`);
    }
  }
  return resolved;
}
