/**
 * The tokens file: YAML (or JSON) that says who may do what. It holds digests of tokens, never tokens.
 *
 * ```yaml
 * version: 1
 * tokens:
 *   - name: web-shipper
 *     sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *     expires: 2027-01-01T00:00:00Z      # may be left out
 *     grants:
 *       - streams: web-*                 # or a list
 *         rights: [append, read]
 *     cluster: [read]                    # may be left out
 * ```
 */
import { parseDocument, stringify } from 'yaml';
import { z } from 'zod';
import { LogboomError } from '../../base/errors.js';
import { nearestName } from '../config/suggest.js';
import { clusterRights, streamRights } from './rights.js';
import { patternFault } from './stream-pattern.js';
import type { ClusterRight, StreamRight } from './rights.js';

export interface StreamGrant {
  /** See stream-pattern.ts. */
  readonly streams: readonly string[];
  readonly rights: readonly StreamRight[];
}

/** A token as the file has it. */
export interface TokenEntry {
  readonly name: string;
  /** Of the token's bytes, in lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Undefined: never. */
  readonly expiresUnixMs: number | undefined;
  readonly grants: readonly StreamGrant[];
  readonly cluster: readonly ClusterRight[];
}

const formatVersion = '1';
const tokensMax = 10_000;
const itemsMax = 1000;
const shownProblemsMax = 20;

const nameSchema = z
  .string()
  .regex(/^[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}._\-/:@]{0,127}$/u, 'is not a name: 1 to 128 letters, digits and . _ - / : @');

const patternSchema = z.string().superRefine((pattern, context) => {
  const fault = patternFault(pattern);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const grantSchema = z.strictObject({
  streams: z
    .union([z.string(), z.array(z.string())], 'must be a pattern of stream names, or a list of them')
    .transform((given) => (typeof given === 'string' ? [given] : given))
    .pipe(z.array(patternSchema).min(1, 'is empty').max(itemsMax)),
  rights: z.array(z.enum(streamRights)).min(1, 'is empty').max(itemsMax),
});

const expirySchema = z.string().transform((text, context) => {
  const atMs = parseExpiry(text);
  if (atMs !== undefined) return atMs;
  context.addIssue({
    code: 'custom',
    message: 'is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z (UTC, or with an offset)',
  });
  return z.NEVER;
});

const entrySchema = z.strictObject({
  name: nameSchema,
  sha256: z
    .string()
    .regex(/^[0-9A-Fa-f]{64}$/, 'is not a SHA-256 digest: 64 hexadecimal digits')
    .transform((digest) => digest.toLowerCase()),
  expires: expirySchema.optional(),
  grants: z.array(grantSchema).max(itemsMax).default([]),
  cluster: z.array(z.enum(clusterRights)).max(itemsMax).default([]),
});

const fileSchema = z.strictObject({
  version: z.literal(formatVersion, `must be ${formatVersion}`),
  tokens: z.array(entrySchema).max(tokensMax),
});

/** Milliseconds since the Unix epoch; a date alone is its first moment in UTC. */
export function parseExpiry(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/.test(text)) return undefined;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : atMs;
}

/** @throws LogboomError CONFIGURATION_INVALID naming the file and everything that is wrong with it */
export function parseTokensFile(path: string, text: string): readonly TokenEntry[] {
  const parsed = fileSchema.safeParse(readYaml(path, text), { reportInput: true });
  if (!parsed.success) return refuse(path, parsed.error.issues.flatMap(problemsOf));
  const entries = parsed.data.tokens.map(({ expires, ...entry }): TokenEntry => ({ ...entry, expiresUnixMs: expires }));
  const repetitions = [...repeated(entries, 'name'), ...repeated(entries, 'sha256')];
  return repetitions.length === 0 ? entries : refuse(path, repetitions);
}

function readYaml(path: string, text: string): unknown {
  // Every scalar is text: a name that looks like a number stays a name.
  const document = parseDocument(text, { schema: 'failsafe', uniqueKeys: true });
  const [error] = document.errors;
  if (error)
    return refuse(path, [`is neither YAML nor JSON: ${(error.message.split('\n')[0] ?? '').replace(/:$/, '')}`]);
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (failure) {
    return refuse(path, [failure instanceof Error ? failure.message : String(failure)]);
  }
}

function refuse(path: string, problems: readonly string[]): never {
  const shown = problems.slice(0, shownProblemsMax);
  const more = problems.length > shown.length ? [`and ${problems.length - shown.length} more`] : [];
  throw new LogboomError('CONFIGURATION_INVALID', `the tokens file ${path}: ${[...shown, ...more].join('; ')}`, {
    facts: { file: path, problems: problems.length },
  });
}

const knownFields = ['version', 'tokens', 'name', 'sha256', 'expires', 'grants', 'cluster', 'streams', 'rights'];

function problemsOf(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.reduce<string>(
    (path, key) => (typeof key === 'number' ? `${path}[${key}]` : path === '' ? String(key) : `${path}.${String(key)}`),
    '',
  );
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const near = nearestName(key, knownFields);
      const suggestion = near === undefined ? '' : `; did you mean ${near}?`;
      return `${at === '' ? '' : `${at}: `}field ${JSON.stringify(key)} is unknown${suggestion}`;
    });
  }
  const where = at === '' ? 'the content' : at;
  if (issue.code === 'invalid_value' && issue.input !== undefined && at !== 'version')
    return [`${where} is ${JSON.stringify(issue.input)}; it must be ${issue.values.map(String).join(' or ')}`];
  if (issue.code === 'invalid_type')
    return [`${where} ${issue.input === undefined ? 'is missing' : `must be ${articleOf(issue.expected)}`}`];
  return [`${where} ${issue.message}`];
}

const articleOf = (type: string): string =>
  ({ array: 'a list', object: 'a set of fields', string: 'text' })[type] ?? type;

function repeated(entries: readonly TokenEntry[], field: 'name' | 'sha256'): string[] {
  const first = new Map<string, number>();
  return entries.flatMap((entry, index) => {
    const earlier = first.get(entry[field]);
    if (earlier === undefined) first.set(entry[field], index);
    return earlier === undefined ? [] : [`tokens[${index}].${field} is that of tokens[${earlier}]`];
  });
}

/** The entry as YAML: an item of `tokens`, indented as one. */
export function formatTokenEntry(entry: TokenEntry): string {
  return stringify([plainEntry(entry)], { lineWidth: 0 })
    .trimEnd()
    .replaceAll(/^(?=.)/gm, '  ')
    .concat('\n');
}

/**
 * The file with one entry more; comments and everything else stay. `text` is empty for a new file.
 *
 * @throws LogboomError CONFIGURATION_INVALID also for an entry that is none, or does not fit to what is there
 */
export function withTokenEntry(path: string, text: string, entry: TokenEntry): string {
  const changed = text.trim() === '' ? `version: 1\ntokens:\n${formatTokenEntry(entry)}` : addedTo(path, text, entry);
  parseTokensFile(path, changed);
  return changed;
}

function addedTo(path: string, text: string, entry: TokenEntry): string {
  parseTokensFile(path, text);
  const document = parseDocument(text, { schema: 'failsafe' });
  document.addIn(['tokens'], document.createNode(plainEntry(entry)));
  return document.toString({ lineWidth: 0 });
}

function plainEntry({ name, sha256, expiresUnixMs, grants, cluster }: TokenEntry): object {
  return {
    name,
    sha256,
    ...(expiresUnixMs === undefined ? {} : { expires: new Date(expiresUnixMs).toISOString() }),
    ...(grants.length === 0 ? {} : { grants: grants.map(({ streams, rights }) => ({ streams, rights })) }),
    ...(cluster.length === 0 ? {} : { cluster }),
  };
}
