import { expect, test } from 'vitest';
import { StreamBooks } from '../../cluster-sim/checkers/stream-books.js';
import { Verdict } from '../../cluster-sim/checkers/verdict.js';
import { Walk } from '../../cluster-sim/clients/readers.js';

function booksWith(...values: string[]): { books: StreamBooks; broken: () => string | undefined } {
  const verdict = new Verdict(
    () => 0,
    () => {},
  );
  const books = new StreamBooks(verdict);
  books.issued(values);
  return { books, broken: () => verdict.violation?.invariant };
}

const view = { epoch: 1, firstSeq: 0, nextSeq: 2 };

test('what agrees is accepted', () => {
  const { books, broken } = booksWith('a', 'b');
  books.acknowledged(0, 1, 0, ['a', 'b']);
  books.viewed(0, view, books.floor(0));
  books.read(0, 1, [{ seq: 1, value: 'b' }]);
  books.readBack(0, view, [
    { seq: 0, value: 'a' },
    { seq: 1, value: 'b' },
  ]);
  expect(broken()).toBeUndefined();
});

test('a read that ends before what was acknowledged is stale', () => {
  const { books, broken } = booksWith('a', 'b');
  books.acknowledged(0, 1, 0, ['a', 'b']);
  books.viewed(0, { ...view, nextSeq: 1 }, books.floor(0));
  expect(broken()).toBe('no-stale-reads');
});

test('content that changes', () => {
  const { books, broken } = booksWith('a', 'b');
  books.read(0, 1, [{ seq: 0, value: 'a' }]);
  books.read(0, 1, [{ seq: 0, value: 'b' }]);
  expect(broken()).toBe('content-never-changes');
});

test('a record that is there twice', () => {
  const { books, broken } = booksWith('a');
  books.read(0, 1, [
    { seq: 0, value: 'a' },
    { seq: 1, value: 'a' },
  ]);
  expect(broken()).toBe('nothing-is-there-twice');
});

test('a record that nobody appended', () => {
  const { books, broken } = booksWith();
  books.read(0, 1, [{ seq: 0, value: 'a' }]);
  expect(broken()).toBe('nothing-is-invented');
});

test('an acknowledged record that is not read back', () => {
  const { books, broken } = booksWith('a', 'b');
  books.acknowledged(0, 1, 0, ['a', 'b']);
  books.readBack(0, { ...view, nextSeq: 1 }, [{ seq: 0, value: 'a' }]);
  expect(broken()).toBe('nothing-acknowledged-is-lost');
});

test('retention excuses what is below its first seq', () => {
  const { books, broken } = booksWith('a', 'b');
  books.acknowledged(0, 1, 0, ['a', 'b']);
  books.readBack(0, { epoch: 1, firstSeq: 1, nextSeq: 2 }, [{ seq: 1, value: 'b' }]);
  expect(broken()).toBeUndefined();
});

const record = (seq: number): { seq: number; value: string } => ({ seq, value: String(seq) });
const page = { stream: view as never, end: 'limit' as const };

test('walks go on where the page before ended, in either direction', () => {
  const forward = new Walk('forward');
  expect(forward.take(page, [record(0), record(1)])).toBeUndefined();
  expect(forward.take(page, [record(2)])).toBeUndefined();
  expect(forward.take(page, [record(4)])).toContain('expected to go on at 3');
  const backward = new Walk('backward');
  expect(backward.take(page, [record(8), record(9)])).toBeUndefined();
  expect(backward.take(page, [record(7)])).toBeUndefined();
  expect(backward.take(page, [record(7)])).toContain('expected to go on at 7');
  expect(new Walk('forward').take(page, [record(1), record(3)])).toContain('gap');
});
