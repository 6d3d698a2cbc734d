/** Puts a configuration together: a flag wins over a variable, a variable over the file, the file over the default. */
import { parseDocument } from 'yaml';
import { LogboomError } from '../../base/errors.js';
import { findContradictions } from './contradictions.js';
import { settingEntries } from './settings.js';
import { nearestName } from './suggest.js';
import type { Configuration, SettingEntry } from './settings.js';

export interface ConfigurationSources {
  /** A configuration file, YAML or JSON; `path` is for messages. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  /** Environment variables; those that do not begin with `LOGBOOM_` are not looked at. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Arguments, `--port=1` or `--port 1`. */
  readonly flags?: readonly string[] | undefined;
}

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** Where each setting that is not a default came from: `--port`, `LOGBOOM_PORT` or the file's path. */
  readonly origins: ReadonlyMap<string, string>;
}

/** Variables of the same prefix that belong to the client, the command line and the tests. */
const otherVariables = [
  'LOGBOOM_ADDRESS',
  'LOGBOOM_CONFIG',
  'LOGBOOM_OUTPUT',
  'LOGBOOM_TLS_CA',
  'LOGBOOM_TLS_CERT',
  'LOGBOOM_TLS_KEY',
  'LOGBOOM_TOKEN',
  'LOGBOOM_TOKEN_FILE',
];
const otherPrefixes = ['LOGBOOM_CI_', 'LOGBOOM_TEST_', 'LOGBOOM_BENCH_'];

const byKey = new Map(settingEntries.map((entry) => [entry.key, entry]));
const byFlag = new Map(settingEntries.map((entry) => [entry.flag, entry]));
const byVariable = new Map(settingEntries.map((entry) => [entry.variable, entry]));
const sections = new Set(
  settingEntries.flatMap(({ key }) => (key.includes('.') ? [key.slice(0, key.indexOf('.'))] : [])),
);

interface Given {
  readonly value: unknown;
  readonly origin: string;
}

/** @throws LogboomError CONFIGURATION_INVALID naming every setting that is unknown, malformed or contradictory */
export function loadConfiguration(sources: ConfigurationSources = {}): LoadedConfiguration {
  const problems: string[] = [];
  const given = new Map<string, Given>();
  if (sources.file) readFile(sources.file, given, problems);
  readEnvironment(sources.environment ?? {}, given, problems);
  readFlags(sources.flags ?? [], given, problems);

  const values = new Map<string, unknown>();
  for (const entry of settingEntries) values.set(entry.key, valueOf(entry, given.get(entry.key), problems));
  refuse(problems);
  const configuration = nest(values);
  refuse(
    findContradictions(configuration).map(({ keys, message }) => {
      const origins = keys.map((key) => `${key} ${given.has(key) ? `by ${given.get(key)?.origin}` : 'is the default'}`);
      return `${message} (${origins.join(', ')})`;
    }),
  );
  return { configuration, origins: new Map([...given].map(([key, { origin }]) => [key, origin])) };
}

function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, 20);
  const more = problems.length - shown.length;
  const text = more > 0 ? [...shown, `and ${more} more`] : shown;
  throw new LogboomError(
    'CONFIGURATION_INVALID',
    text.length === 1 ? `${text[0]}` : `the configuration has ${problems.length} faults:\n  ${text.join('\n  ')}`,
    { facts: { problems: problems.length } },
  );
}

function valueOf(entry: SettingEntry, given: Given | undefined, problems: string[]): unknown {
  if (!given) return entry.setting.default;
  const result = entry.setting.schema.safeParse(given.value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const what = issue?.code === 'custom' ? issue.message : `is not a value of the form: ${entry.setting.form}`;
  problems.push(`${entry.key}: ${show(given.value)} ${what} (set by ${given.origin})`);
  return entry.setting.default;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

function unknownName(kind: string, written: string, known: Iterable<string>): string {
  const near = nearestName(written, known);
  return `${kind} ${show(written).slice(1, -1)} is unknown${near === undefined ? '' : `; did you mean ${near}?`}`;
}

function readFile({ path, text }: { path: string; text: string }, given: Map<string, Given>, problems: string[]): void {
  let content: unknown;
  try {
    const document = parseDocument(text, { uniqueKeys: true });
    const error = document.errors[0];
    if (error) throw error;
    content = document.toJS({ maxAliasCount: 10 });
  } catch (error) {
    const detail = error instanceof Error ? (error.message.split('\n')[0] ?? '').replace(/:$/, '') : String(error);
    problems.push(`${path} is neither YAML nor JSON: ${detail}`);
    return;
  }
  if (content === null || content === undefined) return;
  if (!isObject(content)) {
    problems.push(`${path} does not hold settings but ${Array.isArray(content) ? 'a list' : show(content)}`);
    return;
  }
  collect(content, '', path, given, problems);
}

function collect(
  node: Record<string, unknown>,
  prefix: string,
  path: string,
  given: Map<string, Given>,
  problems: string[],
): void {
  for (const [name, value] of Object.entries(node)) {
    const key = `${prefix}${name}`;
    if (byKey.has(key)) {
      if (given.has(key)) problems.push(`${key} is set twice in ${path}`);
      given.set(key, { value, origin: path });
    } else if (sections.has(key)) {
      if (isObject(value)) collect(value, `${key}.`, path, given, problems);
      else if (value !== null) problems.push(`${key} in ${path} is a section of settings, not ${show(value)}`);
    } else {
      problems.push(`${unknownName('setting', key, byKey.keys())} (in ${path})`);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  given: Map<string, Given>,
  problems: string[],
): void {
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('LOGBOOM_') || value === undefined) continue;
    const entry = byVariable.get(name);
    if (entry) given.set(entry.key, { value, origin: name });
    else if (!otherVariables.includes(name) && !otherPrefixes.some((prefix) => name.startsWith(prefix))) {
      problems.push(unknownName('variable', name, byVariable.keys()));
    }
  }
}

function readFlags(flags: readonly string[], given: Map<string, Given>, problems: string[]): void {
  const seen = new Set<string>();
  for (let index = 0; index < flags.length; index++) {
    const argument = flags[index] ?? '';
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const entry = byFlag.get(name);
    if (!entry) {
      problems.push(
        name.startsWith('--') ? unknownName('flag', name, byFlag.keys()) : `argument ${show(name)} is no flag`,
      );
      // What follows without dashes is the value of the flag that nobody knows.
      if (equals < 0 && name.startsWith('--') && !(flags[index + 1] ?? '--').startsWith('--')) index++;
      continue;
    }
    if (seen.has(name)) problems.push(`flag ${name} is given twice`);
    seen.add(name);
    let value: string | boolean | undefined;
    if (equals >= 0) value = argument.slice(equals + 1);
    else if (entry.setting.isSwitch && (flags[index + 1] ?? '--').startsWith('--')) value = true;
    else value = flags[++index];
    if (value === undefined) problems.push(`flag ${name} needs a value (${entry.setting.form})`);
    else given.set(entry.key, { value, origin: name });
  }
}

function nest(values: ReadonlyMap<string, unknown>): Configuration {
  const root: Record<string, unknown> = {};
  for (const [key, value] of values) {
    const [section, name] = key.includes('.') ? (key.split('.') as [string, string]) : [undefined, key];
    if (section === undefined) root[name] = value;
    else ((root[section] ??= {}) as Record<string, unknown>)[name] = value;
  }
  // The table is the type's only source: every key was set from its setting's schema or default.
  return root as unknown as Configuration;
}
