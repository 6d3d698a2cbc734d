/** Configuration of a node. */
export { loadConfiguration } from './load.js';
export type { ConfigurationSources } from './load.js';
export { settingEntries } from './settings.js';
export type { Configuration, SettingEntry } from './settings.js';
