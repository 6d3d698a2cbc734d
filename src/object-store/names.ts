/** Names of objects, as the port defines them, and how bytes and signals pass through every implementation. */
import { ObjectStoreError } from './types.js';

const nameCharactersMax = 512;
const partCharactersMax = 200;
const allowed = /^[A-Za-z0-9._/-]*$/;

/** @throws ObjectStoreError INVALID with the name and what is wrong with it */
export function checkObjectName(name: string): void {
  const problem = nameProblem(name);
  if (problem === undefined) return;
  const shown = name.length > nameCharactersMax ? `${name.slice(0, 60)}...` : name;
  throw new ObjectStoreError('INVALID', `The object name ${JSON.stringify(shown)} ${problem}.`);
}

/** Whether the name is one that an implementation may be asked for; others in the same place are not ours. */
export function isObjectName(name: string): boolean {
  return nameProblem(name) === undefined;
}

/**
 * Of a beginning of a name: a prefix, or a position in a list.
 *
 * @throws ObjectStoreError INVALID
 */
export function checkNameBeginning(field: 'prefix' | 'after', value: string): void {
  if (value.length <= nameCharactersMax && allowed.test(value)) return;
  throw new ObjectStoreError(
    'INVALID',
    `The ${field} ${JSON.stringify(value.slice(0, 60))} of a list is not the beginning of an object name: those are up to ` +
      `${nameCharactersMax} of A-Z a-z 0-9 . _ - /.`,
  );
}

/** @throws ObjectStoreError INVALID */
export function checkListLimit(limit: number): void {
  if (Number.isSafeInteger(limit) && limit >= 1) return;
  throw new ObjectStoreError('INVALID', `The limit ${limit} of a list is not a whole number of 1 or more.`);
}

function nameProblem(name: string): string | undefined {
  if (name.length === 0) return 'is empty';
  if (name.length > nameCharactersMax) return `has ${name.length} characters, more than ${nameCharactersMax}`;
  if (!allowed.test(name)) return 'has other characters than A-Z a-z 0-9 . _ - /';
  for (const part of name.split('/')) {
    if (part === '') return 'has an empty part';
    if (part.startsWith('.')) return `has a part that begins with a dot, ${JSON.stringify(part)}`;
    if (part.length > partCharactersMax)
      return `has a part of ${part.length} characters, more than ${partCharactersMax}`;
  }
  return undefined;
}
