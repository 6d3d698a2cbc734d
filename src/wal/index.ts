export { Wal } from './wal.js';
export { defaultWalOptions, type WalOptions } from './options.js';
export type * from './types.js';
