import { describe, expect, test } from 'vitest';
import { GrpcStatus, LogboomError, errorRegistry } from '../../src/base/errors.js';
import type { Reason } from '../../src/base/errors.js';
import { noLogger } from '../../src/base/ports/logger.js';
import type { LogFields } from '../../src/base/ports/logger.js';
import { ErrorReporter, toServiceError } from '../../src/server/rpc/errors.js';
import { decodeAppendSessionRequest } from '../../src/server/wire/requests.js';
import { encodeAppendSessionError } from '../../src/server/wire/responses.js';
import { encodeStatus } from '../../src/server/wire/status.js';
import { decodeStatusDetails, streamCodecs } from './support/proto-codecs.js';

const reasons = Object.keys(errorRegistry) as Reason[];

describe('every reason, as a status and as the answer of a session', () => {
  test.each(reasons)('%s', (reason) => {
    const { status, retryable, explanation } = errorRegistry[reason];
    const error = new LogboomError(reason, `what went wrong, ${'ä\ud83d\ude00'}`, {
      facts: { limit: 'limits.recordBytes', used: 12 },
      retryAfterMs: 1250.5,
    });
    expect(error.reason).toBe(reason);
    expect([error.status, error.retryable]).toEqual([status, retryable]);
    expect(Object.values(GrpcStatus)).toContain(status);
    expect(explanation).toMatch(/\.$/);

    const serviceError = toServiceError(error);
    expect(serviceError.code).toBe(status);
    expect(serviceError.details).toBe(error.message);
    const [trailer] = serviceError.metadata.get('grpc-status-details-bin');
    expect(decodeStatusDetails(trailer as Buffer)).toEqual({
      code: status,
      message: error.message,
      errorInfo: { reason, domain: 'logboom', metadata: { limit: 'limits.recordBytes', used: '12' } },
      hasRetryInfo: true,
      retryDelayMs: 1251,
    });

    const request = streamCodecs('AppendSession').encodeRequest({ requestId: '18446744073709551615' });
    const { requestId } = decodeAppendSessionRequest(request);
    const answer = streamCodecs('AppendSession').decodeResponse(encodeAppendSessionError(requestId, error));
    expect(answer).toEqual({
      requestId: '18446744073709551615',
      result: 'error',
      error: {
        code: status,
        message: error.message,
        reason,
        facts: { limit: 'limits.recordBytes', used: '12' },
        retryable,
        retryAfterMs: 1251,
      },
    });
  });
});

test.each(reasons)(
  '%s has a RetryInfo exactly if it is retryable, without a delay where there is no hint',
  (reason) => {
    const error = new LogboomError(reason, 'none');
    const { hasRetryInfo, retryDelayMs } = decodeStatusDetails(encodeStatus(error));
    expect([hasRetryInfo, retryDelayMs]).toEqual([error.retryable, undefined]);
  },
);

test('text is cut to what trailers can carry, and lone surrogates do not break the header', () => {
  const facts = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`fact${index}`, 'x'.repeat(10_000)]));
  const error = new LogboomError('INTERNAL', `\ud800${'y'.repeat(100_000)}`, { facts });
  const serviceError = toServiceError(error);
  expect(() => encodeURI(serviceError.details)).not.toThrow();
  expect(serviceError.details.length).toBeLessThanOrEqual(1000);
  const [trailer] = serviceError.metadata.get('grpc-status-details-bin');
  expect((trailer as Buffer).length).toBeLessThan(8000);
  expect(Object.keys(decodeStatusDetails(trailer as Buffer).errorInfo.metadata)).toHaveLength(16);
});

describe('unexpected errors', () => {
  const logged: LogFields[] = [];
  const logger = { ...noLogger, error: (_message: string, fields?: LogFields) => void logged.push(fields ?? {}) };
  const reporter = new ErrorReporter({ logger, random: { nextUint32: () => 0xabcdef } });

  test('become INTERNAL with an id that is logged, and tell nothing of themselves', () => {
    const secret = new TypeError('secret in /home/me');
    const error = reporter.publicError(secret, 'Append');
    expect(error.reason).toBe('INTERNAL');
    expect(`${error.message}${JSON.stringify(error.facts)}`).not.toMatch(/secret|home|TypeError/);
    expect(logged).toEqual([{ method: 'Append', errorId: error.facts['error_id'], error: secret }]);
    expect(error.message).toContain(String(error.facts['error_id']));
  });

  test('known ones pass as they are', () => {
    const known = new LogboomError('QUEUE_FULL', 'full');
    expect(reporter.publicError(known, 'Append')).toBe(known);
  });
});
