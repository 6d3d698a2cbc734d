/** What the errors of S3, and of the way there, mean to a caller of the port. */
import type { ObjectStoreErrorCode } from './types.js';

export interface S3ErrorMeaning {
  readonly code: ObjectStoreErrorCode;
  /** Whether the same request may succeed when it is sent again. */
  readonly passes: boolean;
  /** What to do about it, where the store's own words do not say. */
  readonly advice?: string;
}

const clockAdvice =
  "the clock of this machine and the store's are too far apart; set the clock of this machine right (NTP)";
const regionAdvice = 'the region of the bucket is another one; name it with the parameter `region`';
const certificateAdvice = 'the certificate of the store is not trusted; NODE_EXTRA_CA_CERTS names further authorities';
const credentialsAdvice =
  'no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role of the usual chain';
const conditionAdvice = 'the store lacks put-if-absent (If-None-Match: *), which snapshots need';

const denied: S3ErrorMeaning = { code: 'DENIED', passes: false };
const invalid: S3ErrorMeaning = { code: 'INVALID', passes: false };
const unavailable: S3ErrorMeaning = { code: 'UNAVAILABLE', passes: true };
const full: S3ErrorMeaning = { code: 'FULL', passes: false };

/** By the code in the answer of the store, or of the SDK. */
const byCode: Readonly<Record<string, S3ErrorMeaning>> = {
  NoSuchKey: { code: 'NOT_FOUND', passes: false },
  NotFound: { code: 'NOT_FOUND', passes: false },
  NoSuchBucket: { ...invalid, advice: 'make the bucket first; it is not made by itself' },
  InvalidBucketName: invalid,
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  InvalidAccessKeyId: denied,
  // versitygw with one account
  XAdminUserNotFound: denied,
  SignatureDoesNotMatch: { ...denied, advice: 'the secret access key is wrong' },
  ExpiredToken: denied,
  InvalidToken: denied,
  TokenRefreshRequired: denied,
  CredentialsProviderError: { ...denied, advice: credentialsAdvice },
  // The SDK takes the time from the answer, so that the next attempt may succeed.
  RequestTimeTooSkewed: { code: 'DENIED', passes: true, advice: clockAdvice },
  RequestExpired: { code: 'DENIED', passes: true, advice: clockAdvice },
  AuthorizationHeaderMalformed: { ...invalid, advice: regionAdvice },
  PermanentRedirect: { ...invalid, advice: regionAdvice },
  IllegalLocationConstraintException: { ...invalid, advice: regionAdvice },
  NotImplemented: { ...invalid, advice: conditionAdvice },
  // Others write, or delete, the same name at the same time.
  ConditionalRequestConflict: unavailable,
  OperationAborted: unavailable,
  SlowDown: unavailable,
  RequestTimeout: unavailable,
  RequestTimeoutException: unavailable,
  BadDigest: unavailable,
  XAmzContentChecksumMismatch: unavailable,
  XAmzContentSHA256Mismatch: unavailable,
  IncompleteBody: unavailable,
  QuotaExceeded: full,
  QuotaExceededException: full,
  InsufficientStorage: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  CERT_HAS_EXPIRED: { ...invalid, advice: certificateAdvice },
  DEPTH_ZERO_SELF_SIGNED_CERT: { ...invalid, advice: certificateAdvice },
  SELF_SIGNED_CERT_IN_CHAIN: { ...invalid, advice: certificateAdvice },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { ...invalid, advice: certificateAdvice },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { ...invalid, advice: certificateAdvice },
  ERR_TLS_CERT_ALTNAME_INVALID: { ...invalid, advice: 'the certificate of the store is for another host name' },
};

/**
 * @param codes the code of the store or the SDK, and that of the system, as far as there are any
 * @param status of HTTP; undefined when there was no answer
 */
export function meaningOfS3Error(codes: readonly string[], status: number | undefined): S3ErrorMeaning {
  for (const code of codes) {
    if (Object.hasOwn(byCode, code)) return byCode[code] as S3ErrorMeaning;
  }
  if (status === undefined || status < 300) return unavailable;
  if (status === 507) return full;
  if (status >= 500 || status === 408 || status === 429) return unavailable;
  if (status === 401 || status === 403) return denied;
  if (status === 301 || status === 307) return { ...invalid, advice: regionAdvice };
  return invalid;
}

/**
 * The facts of an error of the SDK that are fit for a log. The error itself is not: it carries what was signed, a session
 * token among it.
 */
export function describeS3Error(error: unknown): {
  readonly codes: readonly string[];
  readonly status: number | undefined;
  readonly message: string;
} {
  if (!(error instanceof Error)) return { codes: [], status: undefined, message: String(error) };
  const { name, code, message, $metadata } = error as Error & {
    readonly code?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: number };
  };
  const codes = [name, code].filter((each): each is string => typeof each === 'string' && each !== 'Error');
  return { codes, status: $metadata?.httpStatusCode, message };
}
