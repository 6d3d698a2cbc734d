/** The contract of {@link ObjectStore}: every implementation passes it. */
import { describe, expect, test } from 'vitest';
import { isObjectStoreError, type ObjectStore, type ObjectStoreErrorCode } from '../../src/object-store/types.js';

export interface ObjectStoreHarness {
  /**
   * Runs the test on an empty store. `again` opens the same store anew, after a power loss where the harness can make one:
   * what resolved must be there, and the first store is not used any more.
   */
  readonly run: (work: (store: ObjectStore, again: () => Promise<ObjectStore>) => Promise<void>) => Promise<void>;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const text = (content: Uint8Array): string => Buffer.from(content).toString();
const bytesMax = 1024 * 1024;

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (result) => `no error but ${JSON.stringify(result)}`,
    (error: unknown) => error,
  );
}

async function expectError(work: Promise<unknown>, code: ObjectStoreErrorCode, message = ''): Promise<void> {
  const error = await errorOf(work);
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
  expect((error as Error).message).toContain(message);
}

async function put(store: ObjectStore, ...names: string[]): Promise<void> {
  for (const name of names) expect(await store.putIfAbsent(name, [bytes(name)])).toBe('created');
}

async function names(
  store: ObjectStore,
  prefix = '',
  options: { readonly after?: string; readonly limit?: number } = {},
): Promise<string[]> {
  return (await store.list(prefix, { limit: 1000, ...options })).map(({ name }) => name);
}

/** Every byte tells where it is, so that pieces in a wrong order show. */
function pattern(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index, 2_654_435_761);
  return new Uint8Array(words.buffer, 0, length);
}

export function objectStoreContract(name: string, { run }: ObjectStoreHarness): void {
  const testStore = (
    what: string,
    work: (store: ObjectStore, again: () => Promise<ObjectStore>) => Promise<void>,
  ): void => test(what, () => run(work));

  describe(`object store contract: ${name}`, () => {
    testStore('says what it is', async (store) => {
      expect(store.description).toMatch(/^[a-z0-9]+:\/\//);
    });

    testStore('what was put is got and listed, all parts one after another', async (store) => {
      const parts = [bytes('first '), bytes(''), bytes('second '), bytes('third')];
      expect(await store.putIfAbsent('cluster/0/chunks/abc-1_2.json', parts)).toBe('created');
      expect(text(await store.get('cluster/0/chunks/abc-1_2.json', { bytesMax }))).toBe('first second third');
      const [entry, ...others] = await store.list('', { limit: 10 });
      expect(others).toEqual([]);
      expect(entry).toMatchObject({ name: 'cluster/0/chunks/abc-1_2.json', bytes: 18 });
      expect(Number.isFinite(entry?.modifiedUnixMs)).toBe(true);
    });

    testStore('a second put of a name changes nothing', async (store) => {
      expect(await store.putIfAbsent('a/name', [bytes('first')])).toBe('created');
      expect(await store.putIfAbsent('a/name', [bytes('second, longer')])).toBe('exists');
      expect(await store.putIfAbsent('a/name', [])).toBe('exists');
      expect(text(await store.get('a/name', { bytesMax }))).toBe('first');
      expect(await names(store)).toEqual(['a/name']);
    });

    testStore('of 16 that race for one name one creates it, and its content is the object', async (store) => {
      for (let round = 0; round < 4; round++) {
        const contents = Array.from({ length: 16 }, (_, index) => `round ${round}, writer ${index}`);
        const outcomes = await Promise.all(
          contents.map((content) => store.putIfAbsent(`races/${round}`, [bytes(content)])),
        );
        const winners = contents.filter((_, index) => outcomes[index] === 'created');
        expect(winners).toEqual([text(await store.get(`races/${round}`, { bytesMax }))]);
      }
      expect(await names(store)).toHaveLength(4);
    });

    testStore('racers of different names in one new folder all create theirs', async (store) => {
      const wanted = Array.from({ length: 16 }, (_, index) => `new/folder/${String(index).padStart(2, '0')}`);
      const outcomes = await Promise.all(wanted.map((each) => store.putIfAbsent(each, [bytes(each)])));
      expect(new Set(outcomes)).toEqual(new Set(['created']));
      expect(await names(store)).toEqual(wanted);
    });

    testStore('the caller may change its bytes after a put, and those of a get', async (store) => {
      const content = bytes('original');
      await store.putIfAbsent('kept', [content]);
      content.fill(0);
      const got = await store.get('kept', { bytesMax });
      got.fill(0);
      expect(text(await store.get('kept', { bytesMax }))).toBe('original');
    });

    testStore('an object may be empty', async (store) => {
      expect(await store.putIfAbsent('empty/none', [])).toBe('created');
      expect(await store.putIfAbsent('empty/one', [bytes('')])).toBe('created');
      expect(await store.putIfAbsent('empty/one', [bytes('x')])).toBe('exists');
      expect(await store.get('empty/none', { bytesMax: 0 })).toHaveLength(0);
      expect((await store.list('', { limit: 10 })).map((entry) => entry.bytes)).toEqual([0, 0]);
    });

    testStore('20 MiB in many parts', async (store) => {
      const content = pattern(20 * 1024 * 1024 + 3);
      const parts: Uint8Array[] = [];
      for (let at = 0; at < content.length; at += 300_007) parts.push(content.subarray(at, at + 300_007));
      expect(await store.putIfAbsent('large', parts)).toBe('created');
      expect(await store.putIfAbsent('large', parts.slice(1))).toBe('exists');
      const got = await store.get('large', { bytesMax: content.length });
      expect(Buffer.compare(got, content)).toBe(0);
      await expectError(store.get('large', { bytesMax: content.length - 1 }), 'TOO_LARGE', 'large');
      expect((await store.list('', { limit: 10 })).map((entry) => entry.bytes)).toEqual([content.length]);
    });

    testStore('of large ones that race for one name one creates it', async (store) => {
      const contents = [1, 2, 3].map((seed) => pattern(9 * 1024 * 1024).fill(seed, 0, 100));
      const outcomes = await Promise.all(contents.map((content) => store.putIfAbsent('large', [content])));
      const [winner, ...others] = contents.filter((_, index) => outcomes[index] === 'created');
      expect(others).toEqual([]);
      const got = await store.get('large', { bytesMax: 10 * 1024 * 1024 });
      expect(Buffer.compare(got, winner as Uint8Array)).toBe(0);
    });

    testStore('a get of more than the caller takes is refused', async (store) => {
      await store.putIfAbsent('eleven', [bytes('hello world')]);
      await expectError(store.get('eleven', { bytesMax: 10 }), 'TOO_LARGE', 'eleven');
      expect(await store.get('eleven', { bytesMax: 11 })).toHaveLength(11);
    });

    testStore('what is not there is not found', async (store) => {
      await expectError(store.get('absent', { bytesMax }), 'NOT_FOUND', 'absent');
      await put(store, 'folder/inner');
      await expectError(store.get('folder', { bytesMax }), 'NOT_FOUND');
      await expectError(store.get('folder/inner/more', { bytesMax }), 'NOT_FOUND');
      await expectError(store.get('folder/inne', { bytesMax }), 'NOT_FOUND');
    });

    testStore('a name that is a folder of another is stored beside it or refused', async (store) => {
      await put(store, 'a', 'b/c');
      for (const second of ['a/b', 'b']) {
        const outcome: unknown = await errorOf(store.putIfAbsent(second, [bytes('second')]));
        if (!String(outcome).includes('created')) expect(isObjectStoreError(outcome), String(outcome)).toBe(true);
      }
      expect(text(await store.get('a', { bytesMax }))).toBe('a');
      expect(text(await store.get('b/c', { bytesMax }))).toBe('b/c');
    });

    testStore('a list is in the order of bytes, also where folders and names mix', async (store) => {
      const wanted = ['A', 'B/x', 'a-b', 'a.b', 'a/b', 'a/b-c', 'a/c/d', 'a/c0', 'a0', 'aB', 'a_', 'ab', 'ab-', 'b'];
      await put(store, ...[...wanted].reverse());
      expect([...wanted].sort()).toEqual(wanted);
      expect(await names(store)).toEqual(wanted);
      expect(await names(store, 'a')).toEqual(wanted.filter((each) => each.startsWith('a')));
      expect(await names(store, 'a/')).toEqual(['a/b', 'a/b-c', 'a/c/d', 'a/c0']);
      expect(await names(store, 'a/c')).toEqual(['a/c/d', 'a/c0']);
      expect(await names(store, 'a/c/')).toEqual(['a/c/d']);
      expect(await names(store, 'ab')).toEqual(['ab', 'ab-']);
      expect(await names(store, 'a/b/')).toEqual([]);
      expect(await names(store, 'c')).toEqual([]);
    });

    testStore('a list goes on after any position, in pages of any size', async (store) => {
      const wanted = ['m/1', 'm/10', 'm/2', 'm/a/1', 'm/a/2', 'm/a0', 'm/b', 'n'];
      await put(store, ...wanted);
      const positions = ['', 'm', 'm/', 'm/1', 'm/15', 'm/a', 'm/a/', 'm/a/1', 'm/a/15', 'm/a/2', 'm/a0', 'n', 'zz'];
      for (const after of positions) {
        for (const prefix of ['', 'm/', 'm/a', 'n']) {
          const rest = wanted.filter((each) => each.startsWith(prefix) && each > after);
          expect(await names(store, prefix, { after }), `${prefix} after ${after}`).toEqual(rest);
        }
      }
      for (const limit of [1, 2, 3, 7, 8]) {
        const listed: string[] = [];
        for (;;) {
          const page = await names(store, 'm/', { limit, after: listed.at(-1) ?? '' });
          expect(page.length).toBeLessThanOrEqual(limit);
          listed.push(...page);
          if (page.length < limit) break;
        }
        expect(listed).toEqual(wanted.slice(0, -1));
      }
    });

    testStore('a list of more than one page of the store', async (store) => {
      const wanted = Array.from({ length: 1100 }, (_, index) => `many/${String(index).padStart(5, '0')}`);
      for (let at = 0; at < wanted.length; at += 20)
        await Promise.all(wanted.slice(at, at + 20).map((each) => store.putIfAbsent(each, [])));
      expect(await names(store, 'many/', { limit: 5000 })).toEqual(wanted);
      expect(await names(store, '', { limit: 1050, after: 'many/00009' })).toEqual(wanted.slice(10, 1060));
      await store.delete(wanted.slice(3));
      expect(await names(store, '', { limit: 5000 })).toEqual(wanted.slice(0, 3));
    });

    testStore('what was deleted is gone, and its name free', async (store) => {
      await put(store, 'x/1', 'x/2', 'x/3');
      await store.delete(['x/2', 'x/absent', 'nowhere/at/all', 'x', 'x/1/2']);
      await store.delete([]);
      expect(await names(store)).toEqual(['x/1', 'x/3']);
      await expectError(store.get('x/2', { bytesMax }), 'NOT_FOUND');
      await store.delete(['x/2']);
      expect(await store.putIfAbsent('x/2', [bytes('new')])).toBe('created');
      expect(text(await store.get('x/2', { bytesMax }))).toBe('new');
    });

    testStore('bad names are refused and named', async (store) => {
      const long = 'x'.repeat(201);
      const bad = [
        '',
        '/a',
        'a/',
        'a//b',
        '.',
        '..',
        'a/../b',
        './a',
        '.hidden',
        'a/.b',
        'a b',
        'ä',
        'a\\b',
        'a\n',
        long,
      ];
      for (const each of [...bad, 'abc/'.repeat(128) + 'd']) {
        const shown = JSON.stringify(each.slice(0, 60)).slice(0, -1);
        await expectError(store.putIfAbsent(each, [bytes('x')]), 'INVALID', shown);
        await expectError(store.get(each, { bytesMax }), 'INVALID', shown);
        await expectError(store.delete(['fine', each]), 'INVALID', shown);
      }
      await expectError(store.list('a b', { limit: 1 }), 'INVALID', 'a b');
      await expectError(store.list('', { limit: 1, after: 'ü' }), 'INVALID', 'ü');
      for (const limit of [0, -1, 1.5, Number.NaN])
        await expectError(store.list('', { limit }), 'INVALID', String(limit));
      expect(await names(store)).toEqual([]);
    });

    testStore('the longest names', async (store) => {
      const longest = ['x'.repeat(200), 'y'.repeat(200), 'z'.repeat(110)].join('/');
      expect(longest).toHaveLength(512);
      await put(store, longest);
      expect(await names(store, longest.slice(0, 500))).toEqual([longest]);
      expect(text(await store.get(longest, { bytesMax }))).toBe(longest);
    });

    testStore('an aborted signal ends every operation with its reason', async (store) => {
      await put(store, 'there');
      const reason = new Error('enough');
      const before = AbortSignal.abort(reason);
      const calls = (signal: AbortSignal): Promise<unknown>[] => [
        store.putIfAbsent('late', [bytes('x')], { signal }),
        store.get('there', { bytesMax, signal }),
        store.list('', { limit: 10, signal }),
        store.delete(['absent'], { signal }),
      ];
      for (const call of calls(before)) expect(await errorOf(call)).toBe(reason);
      expect(await names(store)).toEqual(['there']);
      const controller = new AbortController();
      const pending = calls(controller.signal).map(errorOf);
      controller.abort(reason);
      // One that was quicker than the abort has its result.
      for (const outcome of await Promise.all(pending)) {
        if (!String(outcome).startsWith('no error')) expect(outcome).toBe(reason);
      }
      expect(text(await store.get('there', { bytesMax }))).toBe('there');
    });

    testStore('what has resolved is there for whoever opens the store next', async (store, again) => {
      await put(store, 'one', 'deep/er/two');
      expect(await store.putIfAbsent('deep/er/two', [])).toBe('exists');
      await Promise.all(['three', 'four'].map((each) => store.putIfAbsent(`more/${each}`, [pattern(70_000)])));
      const next = await again();
      expect(await names(next)).toEqual(['deep/er/two', 'more/four', 'more/three', 'one']);
      expect(text(await next.get('deep/er/two', { bytesMax }))).toBe('deep/er/two');
      expect(Buffer.compare(await next.get('more/four', { bytesMax }), pattern(70_000))).toBe(0);
      expect(await next.putIfAbsent('one', [])).toBe('exists');
      await next.close();
      await next.close();
    });
  });
}
