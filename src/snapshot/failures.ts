/** What becomes of the errors of an object store. */
import { LogboomError, type ErrorFacts, type Reason } from '../base/errors.js';
import { isObjectStoreError, type ObjectStore, type ObjectStoreErrorCode } from '../object-store/types.js';

/** @param object by its name in the repository; what has a name with spaces, which no object has, is not from there */
export function corrupt(object: string, problem: string, cause?: unknown): LogboomError {
  const what = object.includes(' ') ? object : `${object} of the snapshot repository`;
  return new LogboomError('SNAPSHOT_CORRUPT', `${what} ${problem}`, {
    facts: { object },
    cause,
  });
}

/** Runs one operation of the store on the object that is named; what it rejects with becomes a LogboomError. */
export async function onObject<Value>(
  store: ObjectStore,
  object: string,
  operation: () => Promise<Value>,
): Promise<Value> {
  try {
    return await operation();
  } catch (error) {
    if (!isObjectStoreError(error)) throw error;
    const { code, message } = error;
    const facts: ErrorFacts = { object, repository: store.description, code };
    const text = `${object} of the snapshot repository ${store.description}: ${message}`;
    throw new LogboomError(reasonOf(code), text, { facts, cause: error });
  }
}

/** The same for opening the store. @param description where it is, without secrets */
export async function onObjectStore<Value>(description: string, open: () => Promise<Value>): Promise<Value> {
  try {
    return await open();
  } catch (error) {
    if (!isObjectStoreError(error)) throw error;
    const { code, message } = error;
    const text = `the snapshot repository ${description} cannot be opened: ${message}`;
    throw new LogboomError(reasonOf(code), text, { facts: { repository: description, code }, cause: error });
  }
}

function reasonOf(code: ObjectStoreErrorCode): Reason {
  switch (code) {
    case 'UNAVAILABLE':
      return 'REPOSITORY_UNAVAILABLE';
    case 'DENIED':
    case 'INVALID':
    case 'FULL':
      return 'REPOSITORY_REFUSED';
    case 'NOT_FOUND':
      return 'SNAPSHOT_NOT_FOUND';
    case 'TOO_LARGE':
    case 'CORRUPT':
      return 'SNAPSHOT_CORRUPT';
  }
}
