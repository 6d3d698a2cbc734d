import type { Environment } from '../base/ports/environment.js';
import { FileObjectStore } from './file.js';
import type { ObjectStoreLocation, S3Location } from './location.js';
import { probePutIfAbsent } from './probe.js';
import type { S3Options } from './s3.js';
import type { ObjectOptions, ObjectStore } from './types.js';

export type ObjectStoreSurroundings = Pick<Environment, 'clock' | 'random' | 'disk' | 'crc32'>;

/**
 * Opens a store and tries that it has put-if-absent.
 *
 * @throws ObjectStoreError INVALID for a store that lacks it; DENIED, UNAVAILABLE or FULL
 */
export async function openObjectStore(
  location: ObjectStoreLocation,
  surroundings: ObjectStoreSurroundings,
  options: ObjectOptions & { readonly s3?: Pick<S3Options, 'limits' | 'client'> } = {},
): Promise<ObjectStore> {
  const { random } = surroundings;
  if (location.kind === 's3') return openS3(location, surroundings, options);
  const store = await FileObjectStore.open({ directory: location.directory, ...surroundings });
  await probePutIfAbsent(store, random, options);
  return store;
}

/** The SDK is loaded here: a node that uses none does without its 20 MiB. */
async function openS3(
  location: S3Location,
  surroundings: ObjectStoreSurroundings,
  { signal, s3 }: ObjectOptions & { readonly s3?: Pick<S3Options, 'limits' | 'client'> },
): Promise<ObjectStore> {
  const { S3ObjectStore } = await import('./s3.js');
  const store = new S3ObjectStore({ location, ...surroundings, ...s3 });
  const options = signal === undefined ? {} : { signal };
  try {
    await probePutIfAbsent(store, surroundings.random, options);
    await probePutIfAbsent(store.inParts(), surroundings.random, options);
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}
