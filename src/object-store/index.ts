export { parseObjectStoreLocation } from './location.js';
export { openObjectStore } from './open.js';
export { probePutIfAbsent } from './probe.js';
export * from './types.js';
