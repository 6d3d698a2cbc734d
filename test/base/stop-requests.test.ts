import { expect, test } from 'vitest';
import { StopRequests } from '../../src/base/stop-requests.js';

test('Ctrl-C under npm arrives twice and is one request; the next one after a second is another', () => {
  const requests = new StopRequests();
  expect(requests.take('SIGINT', 10_000)).toBe('stop');
  expect(requests.take('SIGINT', 10_003)).toBe('echo');
  expect(requests.take('SIGINT', 10_999)).toBe('echo');
  expect(requests.take('SIGINT', 11_000)).toBe('now');
  expect(requests.take('SIGINT', 11_002)).toBe('echo');
  expect(requests.take('SIGINT', 12_500)).toBe('now');
});

test('another signal is another request at once', () => {
  const requests = new StopRequests();
  expect(requests.take('SIGTERM', 0)).toBe('stop');
  expect(requests.take('SIGINT', 1)).toBe('now');
});
