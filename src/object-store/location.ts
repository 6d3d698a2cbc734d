/** Where objects are, as a setting says it: a path, `file:///path`, or `s3://bucket/prefix?region=...`. */
import path from 'node:path/posix';
import { LogboomError } from '../base/errors.js';

export interface FileLocation {
  readonly kind: 'file';
  /** Absolute. */
  readonly directory: string;
}

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** Without `/` at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** Undefined: the one of the environment or the profile; `us-east-1` where an endpoint is given. */
  readonly region?: string;
  /** Undefined: S3's own. */
  readonly endpoint?: string;
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. */
  readonly pathStyle: boolean;
}

export type ObjectStoreLocation = FileLocation | S3Location;

const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const prefixPattern = /^([A-Za-z0-9_-][A-Za-z0-9._-]*\/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const prefixCharactersMax = 256;
const regionPattern = /^[a-z0-9-]{1,64}$/;
const parameters = ['region', 'endpoint', 'path-style'] as const;
type Parameter = (typeof parameters)[number];

/**
 * @param field the setting, for errors
 * @param baseDirectory what a path that does not begin with `/` starts at
 * @throws LogboomError CONFIGURATION_INVALID with field and value; a value that may hold a secret is not repeated
 */
export function parseObjectStoreLocation(field: string, value: string, baseDirectory: string): ObjectStoreLocation {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(value)?.[1];
  if (value.trim() === '') throw invalid(field, value, 'is empty');
  if (value.includes('\0')) throw invalid(field, value, 'has a NUL in it');
  switch (scheme) {
    case undefined:
      return { kind: 'file', directory: path.resolve(baseDirectory, value) };
    case 'file':
      return { kind: 'file', directory: pathOfFileUrl(field, value) };
    case 's3':
      return parseS3(field, value);
    default:
      throw invalid(field, `${scheme}://...`, 'is neither a path, nor file:///path, nor s3://bucket/prefix');
  }
}

function pathOfFileUrl(field: string, value: string): string {
  const url = parseUrl(field, value);
  if (url.hostname !== '' && url.hostname !== 'localhost')
    throw invalid(
      field,
      value,
      `names the host ${url.hostname}; a path on this machine is file:///path, with three slashes`,
    );
  if (url.search !== '' || url.hash !== '') throw invalid(field, value, 'has parameters, which a file URL has not');
  try {
    return path.resolve('/', decodeURIComponent(url.pathname));
  } catch {
    throw invalid(field, value, 'has a % that does not begin an escape');
  }
}

function parseS3(field: string, value: string): S3Location {
  // Parameters are not repeated: someone may have tried to give a secret as one.
  const shown = value.split(/[?#]/)[0] as string;
  if (value.includes('@'))
    throw invalid(
      field,
      's3://...',
      'holds credentials or an @; credentials come from the environment, a profile or a role, never from the URL',
    );
  const url = parseUrl(field, value, shown);
  const bucket = url.host;
  if (!bucketPattern.test(bucket) || !value.startsWith(`s3://${bucket}`))
    throw invalid(field, shown, 'has no proper name of a bucket: 3 to 63 of a-z 0-9 . -');
  if (url.hash !== '') throw invalid(field, shown, 'has a fragment (#)');
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (prefix !== '' && (!prefixPattern.test(prefix) || prefix.length > prefixCharactersMax))
    throw invalid(
      field,
      shown,
      `has a bad prefix: parts of A-Z a-z 0-9 . _ - that do not begin with a dot, up to ${prefixCharactersMax} characters`,
    );
  return { kind: 's3', bucket, prefix, ...parseParameters(field, url.searchParams) };
}

function parseParameters(field: string, given: URLSearchParams): Pick<S3Location, 'region' | 'endpoint' | 'pathStyle'> {
  for (const name of given.keys()) {
    if (!parameters.includes(name as Parameter))
      throw invalid(`${field}, parameter ${name}`, undefined, `is not known; there are ${parameters.join(', ')}`);
    if (given.getAll(name).length > 1) throw invalid(`${field}, parameter ${name}`, undefined, 'is given twice');
  }
  const region = given.get('region') ?? undefined;
  const endpoint = given.get('endpoint') ?? undefined;
  const pathStyle = given.get('path-style') ?? (endpoint === undefined ? 'false' : 'true');
  if (region !== undefined && !regionPattern.test(region))
    throw invalid(`${field}, parameter region`, region, 'is not a region, such as eu-west-1');
  if (pathStyle !== 'true' && pathStyle !== 'false')
    throw invalid(`${field}, parameter path-style`, pathStyle, 'is neither true nor false');
  return {
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint: checkedEndpoint(`${field}, parameter endpoint`, endpoint) }),
    pathStyle: pathStyle === 'true',
  };
}

function checkedEndpoint(field: string, value: string): string {
  const problem = 'is not a URL of a host, such as https://objects.example.org:9000';
  if (value.includes('@')) throw invalid(field, undefined, 'holds credentials or an @');
  if (!URL.canParse(value)) throw invalid(field, value, problem);
  const { protocol, pathname, search, hash, origin } = new URL(value);
  if ((protocol !== 'http:' && protocol !== 'https:') || pathname !== '/' || search !== '' || hash !== '')
    throw invalid(field, value, problem);
  return origin;
}

function parseUrl(field: string, value: string, shown = value): URL {
  if (!URL.canParse(value)) throw invalid(field, shown, 'is not a URL');
  return new URL(value);
}

function invalid(field: string, value: string | undefined, problem: string): LogboomError {
  const shown = value === undefined ? '' : ` ${JSON.stringify(value)}`;
  return new LogboomError('CONFIGURATION_INVALID', `${field}:${shown} ${problem}.`, { facts: { field } });
}
