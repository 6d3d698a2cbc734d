/** Log files to append: real ones where they are, otherwise made up to be like them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const shared = path.resolve(import.meta.dirname, '../../../shared/data/loghub');

export interface LogFile {
  readonly name: string;
  readonly content: Buffer;
}

/** A directory that containers may read, and what is in it. */
export function provideLogFiles(directory: string): {
  readonly directory: string;
  readonly files: readonly LogFile[];
  readonly origin: string;
} {
  const isReal = existsSync(shared) && readdirSync(shared).some((name) => name.endsWith('.log'));
  const place = isReal ? shared : path.join(directory, 'logs');
  if (!isReal) makeUp(place);
  const names = readdirSync(place).filter((name) => name.endsWith('.log'));
  const files = names.toSorted().map((name) => ({ name, content: readFileSync(path.join(place, name)) }));
  return { directory: place, files, origin: isReal ? 'real logs' : 'made-up logs' };
}

/** `read --output raw` ends every record with an LF, also the last one. */
export const asRead = ({ content }: LogFile): Buffer =>
  content.length === 0 || content.at(-1) === 0x0a ? content : Buffer.concat([content, Buffer.from('\n')]);

const lineCount = 2000;

/** Line ends of Windows, lone carriage returns, bytes that are no UTF-8, empty and very long lines, an end without LF. */
function makeUp(place: string): void {
  mkdirSync(place, { recursive: true });
  const line = (file: number, index: number): Buffer => {
    const stamp = new Date(Date.UTC(2025, 0, 1, 0, 0, index)).toISOString();
    const start = Buffer.from(
      `${stamp} host-${file} app[${index * 7}]: request ${(index * 2_654_435_761) % 1_000_003}`,
    );
    if (index % 97 === 0) return Buffer.alloc(0);
    if (index % 101 === 0) return Buffer.concat([start, Buffer.from([0xff, 0x00, 0x0d, 0xc3])]);
    if (index % 499 === 0) return Buffer.concat([start, Buffer.alloc(100_000, 'x')]);
    return file % 3 === 0 ? Buffer.concat([start, Buffer.from('\r')]) : start;
  };
  for (let file = 0; file < 8; file++) {
    const lines = Array.from({ length: lineCount }, (_, index) => line(file, index));
    const joined = Buffer.concat(lines.flatMap((each) => [each, Buffer.from('\n')]));
    writeFileSync(path.join(place, `made-up-${file}.log`), file === 1 ? joined.subarray(0, -1) : joined);
  }
}
