/** Who is let in, and what they may do. */
import { LogboomError } from '../../base/errors.js';
import { LogRate } from '../../transport/log-rate.js';
import { matchesPattern } from './stream-pattern.js';
import { digestOf } from './token-table.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Counter, Gauge } from '../../base/ports/metrics.js';
import type { ClusterRight, Requirement, StreamRight } from './rights.js';
import type { TokenTable } from './token-table.js';
import type { TokenEntry } from './tokens-file.js';

/** Whoever makes one call. */
export interface Caller {
  /** Tokens are off: nothing needs to be looked at, for everything is allowed. */
  readonly isUnlimited: boolean;
  /** Checks what the method requires. `stream`: where it requires a right on one. @throws LogboomError PERMISSION_DENIED */
  require(requirement: Requirement, stream: string): void;
  /** Whether the caller has one of the rights on the stream. */
  mayOn(stream: string, anyOf: readonly StreamRight[]): boolean;
  mayOnCluster(anyOf: readonly ClusterRight[]): boolean;
  /** To be called when nothing is left of the call. */
  leave(): void;
}

export interface CallGate {
  /** Tokens are off. */
  readonly isOpen: boolean;
  /** Why whoever shows this is not let in at all; undefined when they are. */
  refusalOf(method: string, authorization: string | undefined): LogboomError | undefined;
  /**
   * @param authorization the header of that name
   * @param end ends the call with an error, when its token is withdrawn, expires, or loses a right that it was let in by
   * @throws LogboomError TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED
   */
  enter(method: string, authorization: string | undefined, end: (error: LogboomError) => void): Caller;
}

const anyone: Caller = {
  isUnlimited: true,
  require: () => {},
  mayOn: () => true,
  mayOnCluster: () => true,
  leave: () => {},
};

/** Tokens are off: everybody may do everything. */
export const openGate: CallGate = { isOpen: true, refusalOf: () => undefined, enter: () => anyone };

/** A refusal of the same reason is logged at most this often. */
const logIntervalMs = 10_000;
/** Of the streams that one session appends to; more are forgotten and looked up again. */
const rememberedStreamsMax = 1000;
/** Of a name that nobody has checked yet, in messages. */
const shownNameMax = 300;

export class TokenGate implements CallGate {
  readonly isOpen = false;
  readonly #environment: Pick<Environment, 'clock' | 'logger'>;
  readonly #refused: Counter;
  readonly #tokens: Gauge;
  readonly #logRates = new Map<string, LogRate>();
  readonly #callers = new Set<TokenCaller>();
  #table: TokenTable;

  constructor(environment: Pick<Environment, 'clock' | 'logger' | 'metrics'>, table: TokenTable) {
    this.#environment = environment;
    this.#refused = environment.metrics.counter(
      'logboom_security_refused_total',
      'Calls, and appends of sessions, that were refused for lack of a valid token or of a right, by reason.',
    );
    this.#tokens = environment.metrics.gauge('logboom_security_tokens', 'Tokens that the tokens file in force has.');
    this.#table = table;
    this.#tokens.set(table.size);
  }

  enter(method: string, authorization: string | undefined, end: (error: LogboomError) => void): Caller {
    const found = this.#find(authorization);
    if ('refusal' in found) throw this.#refuse(found.refusal, method);
    const { digest, entry } = found;
    const caller = new TokenCaller(digest, entry, {
      end,
      refuse: (error) => this.#refuse(error, method),
      leave: () => void this.#callers.delete(caller),
    });
    this.#callers.add(caller);
    return caller;
  }

  refusalOf(method: string, authorization: string | undefined): LogboomError | undefined {
    const found = this.#find(authorization);
    return 'refusal' in found ? this.#refuse(found.refusal, method) : undefined;
  }

  #find(
    authorization: string | undefined,
  ): { readonly digest: Buffer; readonly entry: TokenEntry } | { readonly refusal: LogboomError } {
    const token = bearerOf(authorization);
    if (token === undefined) return { refusal: tokenMissing(authorization) };
    const digest = digestOf(token);
    const entry = this.#table.findDigest(digest);
    if (entry === undefined) return { refusal: tokenInvalid() };
    return this.#hasExpired(entry) ? { refusal: tokenExpired(entry) } : { digest, entry };
  }

  /** Another tokens file is in force: calls under way that it does not allow any more end at once. */
  replace(table: TokenTable): void {
    this.#table = table;
    this.#tokens.set(table.size);
    for (const caller of this.#callers) {
      const entry = table.findDigest(caller.digest);
      const failure = entry === undefined ? tokenInvalid() : caller.become(entry);
      if (failure !== undefined) this.#end(caller, failure);
    }
  }

  /** Ends the calls whose tokens have expired since; to be called about once a second. */
  endExpired(): void {
    for (const caller of this.#callers) {
      if (this.#hasExpired(caller.entry)) this.#end(caller, tokenExpired(caller.entry));
    }
  }

  #end(caller: TokenCaller, error: LogboomError): void {
    this.#callers.delete(caller);
    caller.end(caller.refused(error));
  }

  #hasExpired({ expiresUnixMs }: TokenEntry): boolean {
    return expiresUnixMs !== undefined && expiresUnixMs <= this.#environment.clock.wallMs();
  }

  /** Counts and logs it. */
  #refuse(error: LogboomError, method: string): LogboomError {
    const { clock, logger } = this.#environment;
    const { reason } = error;
    this.#refused.add(1, { reason });
    let rate = this.#logRates.get(reason);
    if (rate === undefined) this.#logRates.set(reason, (rate = new LogRate(logIntervalMs)));
    const heldBack = rate.take(clock.monotonicMs());
    if (heldBack !== undefined) logger.warn('a call is refused', { method, reason, detail: error.message, heldBack });
    return error;
  }
}

interface CallerParts {
  readonly end: (error: LogboomError) => void;
  readonly refuse: (error: LogboomError) => LogboomError;
  readonly leave: () => void;
}

/**
 * A call with a valid token. What it was allowed is remembered: a call lasts as long as its token allows that, and a
 * session asks about each of its streams once.
 */
class TokenCaller implements Caller {
  readonly isUnlimited = false;
  readonly digest: Buffer;
  readonly end: (error: LogboomError) => void;
  readonly refused: (error: LogboomError) => LogboomError;
  readonly leave: () => void;
  entry: TokenEntry;
  /** What the whole call was let in by. */
  #condition: { readonly requirement: Requirement; readonly stream: string } | undefined;
  /** Streams on which messages of the session were allowed. */
  readonly #allowed = new Set<string>();

  constructor(digest: Buffer, entry: TokenEntry, { end, refuse, leave }: CallerParts) {
    this.digest = digest;
    this.entry = entry;
    this.end = end;
    this.refused = refuse;
    this.leave = leave;
  }

  require(requirement: Requirement, stream: string): void {
    if (requirement.on === 'each-message' && this.#allowed.has(stream)) return;
    const failure = this.#failureOf(requirement, stream);
    if (failure !== undefined) throw this.refused(failure);
    if (requirement.on !== 'each-message') {
      this.#condition = { requirement, stream };
      return;
    }
    if (this.#allowed.size >= rememberedStreamsMax) this.#allowed.clear();
    this.#allowed.add(stream);
  }

  mayOn(stream: string, anyOf: readonly StreamRight[]): boolean {
    return this.entry.grants.some(
      ({ streams, rights }) =>
        rights.some((right) => anyOf.includes(right)) && streams.some((pattern) => matchesPattern(pattern, stream)),
    );
  }

  mayOnCluster(anyOf: readonly ClusterRight[]): boolean {
    return this.entry.cluster.some((right) => anyOf.includes(right));
  }

  /** Takes over what another file says of the token; answers why the call cannot go on, if so. */
  become(entry: TokenEntry): LogboomError | undefined {
    this.entry = entry;
    this.#allowed.clear();
    return this.#condition && this.#failureOf(this.#condition.requirement, this.#condition.stream);
  }

  #failureOf(requirement: Requirement, stream: string): LogboomError | undefined {
    const { name } = this.entry;
    switch (requirement.on) {
      case 'token':
        return undefined;
      case 'cluster':
        return this.mayOnCluster(requirement.anyOf) ? undefined : clusterDenied(name, requirement.anyOf);
      case 'stream':
      case 'each-message':
        return this.mayOn(stream, requirement.anyOf) ? undefined : streamDenied(name, requirement.anyOf, stream);
    }
  }
}

/** The token of `Bearer TOKEN` (RFC 6750, section 2.1); undefined when there is none. */
function bearerOf(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +([^\s]+) *$/i.exec(authorization)?.[1];
}

function tokenMissing(authorization: string | undefined): LogboomError {
  const what =
    authorization === undefined ? 'the call carries no token' : 'the authorization of the call is not "Bearer TOKEN"';
  return new LogboomError('TOKEN_MISSING', `${what}: send one as the metadata "authorization: Bearer TOKEN"`);
}

function tokenInvalid(): LogboomError {
  return new LogboomError('TOKEN_INVALID', 'the node does not know the token: it is misspelt, or was withdrawn');
}

function tokenExpired({ name, expiresUnixMs = 0 }: TokenEntry): LogboomError {
  const at = new Date(expiresUnixMs).toISOString();
  return new LogboomError('TOKEN_EXPIRED', `token ${name} was valid until ${at}`, {
    facts: { token: name, expired_unix_ms: expiresUnixMs },
  });
}

function streamDenied(token: string, anyOf: readonly StreamRight[], stream: string): LogboomError {
  const right = anyOf.join(' or ');
  const shown = stream.slice(0, shownNameMax);
  return new LogboomError('PERMISSION_DENIED', `token ${token} does not have the right ${right} on stream ${shown}`, {
    facts: { token, right, stream: shown },
  });
}

function clusterDenied(token: string, anyOf: readonly ClusterRight[]): LogboomError {
  const right = anyOf.join(' or ');
  return new LogboomError('PERMISSION_DENIED', `token ${token} does not have the right ${right} on the cluster`, {
    facts: { token, right, cluster: 1 },
  });
}
