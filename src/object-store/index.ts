export { FileObjectStore } from './file.js';
export { parseObjectStoreLocation, type ObjectStoreLocation } from './location.js';
export { openObjectStore, type ObjectStoreSurroundings } from './open.js';
export { probePutIfAbsent } from './probe.js';
export * from './types.js';
