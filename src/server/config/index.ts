/** Configuration of a node. */
export { advertisedLinkAddress, isListed, linkListenAddress, replicationFactorOf } from './cluster-contradictions.js';
export { trimModeOf } from './contradictions.js';
export { loadConfiguration } from './load.js';
export type { ConfigurationSources } from './load.js';
export { settingEntries } from './settings.js';
export type { Configuration, SettingEntry } from './settings.js';
export type { ListedNode } from './setting.js';
