/** What the command line, tests and benchmarks need of the server. */
export { loadConfiguration } from './config/index.js';
export type { Configuration, SettingEntry } from './config/index.js';
export { startNode } from './node.js';
export type { RunningNode, StartOptions } from './node.js';
export { runNode } from './run-node.js';
