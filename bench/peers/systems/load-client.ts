import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { directories } from '../install/directories.js';

/**
 * A peer's client from where it is installed. Its types are what the caller says: this project's own checks do not need
 * the peers to be installed.
 */
export async function loadPeerClient<T>(specifier: string): Promise<T> {
  const loader = pathToFileURL(path.join(directories.clients, 'load.mjs')).href;
  const { load } = (await import(loader)) as { readonly load: (specifier: string) => Promise<T> };
  return load(specifier);
}
