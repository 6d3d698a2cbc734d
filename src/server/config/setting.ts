/** What one setting is made of, and the kinds of values there are. */
import { z } from 'zod';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from './units.js';

export interface Setting<Value> {
  /** Takes what a file, a flag or a variable gives; answers the value or issues that say what is wrong with it. */
  readonly schema: z.ZodType<Value>;
  readonly description: string;
  readonly default: Value;
  /** How values are written, for documentation and help texts: `size`, `duration`, `number` ... */
  readonly form: string;
  /** The default in words, for settings whose default depends on others. */
  readonly defaultText: string;
  /** A flag without a value means true. */
  readonly isSwitch: boolean;
}

interface Common<Value> {
  readonly default: Value;
  readonly description: string;
  readonly defaultText?: string;
}

const scalar = z.union([z.string(), z.number(), z.boolean()]);

function parsed<Value>(
  parse: (raw: string | number | boolean) => Value | undefined,
  expected: string,
): z.ZodType<Value> {
  return scalar.transform((raw, context): Value => {
    const value = parse(raw);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `is not ${expected}` });
    return z.NEVER;
  });
}

function within(min: number, max: number, format: (value: number) => string): z.ZodType<number, number> {
  return z.number().superRefine((value, context) => {
    if (value < min) context.addIssue({ code: 'custom', message: `is below ${format(min)}, the least` });
    if (value > max) context.addIssue({ code: 'custom', message: `is above ${format(max)}, the most` });
  });
}

function quantity(
  form: string,
  expected: string,
  parse: (raw: string | number) => number | undefined,
  format: (value: number) => string,
  options: Common<number> & { min: number; max: number },
): Setting<number> {
  const schema = parsed((raw) => (typeof raw === 'boolean' ? undefined : parse(raw)), expected).pipe(
    within(options.min, options.max, format),
  );
  return make(form, schema, options, options.defaultText ?? format(options.default));
}

function make<Value>(
  form: string,
  schema: z.ZodType<Value>,
  options: Common<Value>,
  defaultText: string,
  isSwitch = false,
): Setting<Value> {
  return { schema, description: options.description, default: options.default, form, defaultText, isSwitch };
}

const parseInteger = (raw: string | number): number | undefined => {
  const text = String(raw).trim();
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
};

/** A count or an id. */
export function integer(options: Common<number> & { min: number; max: number }): Setting<number> {
  return quantity('number', 'a whole number', parseInteger, String, options);
}

/** A count or a port that is worked out from other settings while it is not set. */
export function optionalInteger(
  options: Common<number | undefined> & { min: number; max: number; defaultText: string },
): Setting<number | undefined> {
  const schema = parsed((raw) => (typeof raw === 'boolean' ? undefined : parseInteger(raw)), 'a whole number').pipe(
    within(options.min, options.max, String),
  );
  return make<number | undefined>('number', schema, options, options.defaultText);
}

export function bytes(options: Common<number> & { min: number; max: number; multipleOf?: number }): Setting<number> {
  const { multipleOf = 1 } = options;
  const setting = quantity('size', 'a size such as 64MiB', parseBytes, formatBytes, options);
  if (multipleOf === 1) return setting;
  const schema = setting.schema.refine((value) => value % multipleOf === 0, {
    error: `is not a multiple of ${formatBytes(multipleOf)}`,
  });
  return { ...setting, schema };
}

export function durationMs(options: Common<number> & { min: number; max: number }): Setting<number> {
  return quantity('duration', 'a duration such as 10s', parseDurationMs, formatDurationMs, options);
}

export function flag(options: Common<boolean>): Setting<boolean> {
  const parse = (raw: string | number | boolean): boolean | undefined => {
    if (raw === true || raw === 'true') return true;
    return raw === false || raw === 'false' ? false : undefined;
  };
  return make('true or false', parsed(parse, 'true or false'), options, String(options.default), true);
}

export function oneOf<const Value extends string>(values: readonly Value[], options: Common<Value>): Setting<Value> {
  const parse = (raw: string | number | boolean): Value | undefined => values.find((value) => value === raw);
  const form = values.join(', ');
  return make(form, parsed(parse, `one of ${form}`), options, options.default);
}

/** Text without control characters; `lengthMax` in characters. */
export function text(options: Common<string> & { min?: number; lengthMax?: number }): Setting<string> {
  const { min = 0, lengthMax = 255 } = options;
  const parse = (raw: string | number | boolean): string | undefined => {
    const value = String(raw);
    // eslint-disable-next-line no-control-regex -- the very characters that must not be in it
    return value.length >= min && value.length <= lengthMax && !/[\u0000-\u001f\u007f]/.test(value) ? value : undefined;
  };
  const expected = `text of ${min} to ${lengthMax} characters without control characters`;
  return make('text', parsed(parse, expected), options, options.defaultText ?? (options.default || 'empty'));
}

/** A path; relative ones start at the working directory. Empty: none. */
export function file(options: { readonly description: string; readonly defaultText?: string }): Setting<string> {
  const setting = text({ default: '', lengthMax: 1024, defaultText: 'none', ...options });
  return { ...setting, form: 'file' };
}

/** Some of a few words: a list in a file, comma-separated elsewhere; `true` stands for all of them and `false` for none. */
export function someOf<const Value extends string>(
  values: readonly Value[],
  options: Common<readonly Value[]>,
): Setting<readonly Value[]> {
  const schema = z.union([scalar, z.array(scalar).max(64)]).transform((raw, context): readonly Value[] => {
    const items = (Array.isArray(raw) ? raw : String(raw).split(',')).map((item) => String(item).trim());
    if (items.length === 1 && items[0] === 'true') return values;
    if (items.length === 1 && (items[0] === 'false' || items[0] === '')) return [];
    const wrong = items.find((item) => !(values as readonly string[]).includes(item));
    if (wrong === undefined) return values.filter((value) => items.includes(value));
    const known = `${values.join(', ')}; true stands for all, false for none`;
    context.addIssue({ code: 'custom', message: `holds ${JSON.stringify(wrong)}, which is none of ${known}` });
    return z.NEVER;
  });
  return make(`some of ${values.join(' ')}`, schema, options, 'none', true);
}

/** `HOST:PORT` items: a list in a file, comma-separated elsewhere. */
export function addresses(options: Common<readonly string[]> & { defaultText: string }): Setting<readonly string[]> {
  const schema = z.union([scalar, z.array(scalar).max(64)]).transform((raw, context): readonly string[] => {
    const items = (Array.isArray(raw) ? raw : String(raw).split(',')).map((item) => String(item).trim());
    const wrong = items.find((item) => !isAddress(item));
    if (wrong === undefined) return items;
    context.addIssue({ code: 'custom', message: `holds ${JSON.stringify(wrong)}, which is not HOST:PORT` });
    return z.NEVER;
  });
  return make('HOST:PORT, ...', schema, options, options.defaultText);
}

/** A node as `cluster.nodes` names it. */
export interface ListedNode {
  readonly id: number;
  /** `HOST:PORT` of its links. */
  readonly linkAddress: string;
}

/** `ID@HOST:PORT` items, answered by id: a list in a file, comma-separated elsewhere. */
export function listedNodes(options: Common<readonly ListedNode[]>): Setting<readonly ListedNode[]> {
  const schema = z.union([scalar, z.array(scalar).max(64)]).transform((raw, context): readonly ListedNode[] => {
    const items = (Array.isArray(raw) ? raw : String(raw).split(',')).map((item) => String(item).trim());
    const nodes: ListedNode[] = [];
    for (const item of items) {
      const [, id, linkAddress = ''] = /^(\d{1,5})@(.*)$/.exec(item) ?? [];
      if (id === undefined || Number(id) < 1 || Number(id) > 65_535 || !isAddress(linkAddress)) {
        context.addIssue({ code: 'custom', message: `holds ${JSON.stringify(item)}, which is not ID@HOST:PORT` });
        return z.NEVER;
      }
      nodes.push({ id: Number(id), linkAddress });
    }
    return nodes.toSorted((left, right) => left.id - right.id);
  });
  return make('ID@HOST:PORT, ...', schema, options, 'none');
}

function isAddress(item: string): boolean {
  const port = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%a-z]{2,64}\]):(\d{1,5})$/.exec(item)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}
