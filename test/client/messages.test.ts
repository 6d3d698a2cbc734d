import { describe, expect, test } from 'vitest';
import * as tables from '../../src/client/messages.js';
import type { Field } from '../../src/client/schema.js';
import { definition } from './fake-server.js';

interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly proto3Optional?: boolean;
  readonly typeName?: string;
}

/** Outside of proto/logboom: fixed by Google, and exercised by the tests of errors. */
const foreign = new Set(['any', 'rpcStatus', 'errorInfo', 'duration', 'retryInfo']);

const types = new Map<
  string,
  { readonly field: readonly ProtoField[]; readonly nestedType: readonly { name: string }[] }
>();
for (const [name, entry] of Object.entries(definition))
  if ('type' in entry && 'field' in entry.type) types.set(name.replace('logboom.v1.', ''), entry.type as never);

const typeNameOf = (table: string): string => `${table[0]?.toUpperCase()}${table.slice(1)}`;
const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

describe('tables of messages', () => {
  const names = Object.keys(tables).filter((name) => !foreign.has(name));

  test.each(names)('%s is as proto/ has it', (name) => {
    const proto = types.get(typeNameOf(name));
    expect(proto, `message ${typeNameOf(name)}`).toBeDefined();
    const fields = (tables as unknown as Record<string, { fields: Record<string, Field<unknown>> }>)[name]!.fields;
    const described = Object.entries(fields).map(([field, { number, kind, label }]) => ({
      field,
      number,
      kind,
      label,
    }));
    const expected = proto!.field.map((field) => {
      const kind = field.type.replace('TYPE_', '').toLowerCase();
      const isMap =
        field.typeName !== undefined && proto!.nestedType.some((nested) => field.typeName!.endsWith(nested.name));
      const label = isMap ? 'map' : field.label === 'LABEL_REPEATED' ? 'repeated' : 'plain';
      return { field: camel(field.name), number: field.number, kind, label };
    });
    const byNumber = (a: { number: number }, b: { number: number }): number => a.number - b.number;
    const comparable = described.sort(byNumber).map((row) => ({
      ...row,
      label: row.label === 'optional' ? 'plain' : row.label,
      // Records stay bytes: the same on the wire.
      kind: name === 'recordBatch' && row.field === 'records' ? 'message' : row.kind,
    }));
    expect(comparable).toEqual(expected.sort(byNumber));
  });

  test('every message of the API has a table, apart from those that hold records', () => {
    const described = new Set(names.map(typeNameOf));
    const missing = [...types.keys()].filter((name) => !described.has(name) && !name.includes('.'));
    expect(missing.sort()).toEqual(['Attribute', 'Record', 'RecordSet']);
  });

  test('fields whose presence matters track it', () => {
    const { fields } = tables.readRequest;
    expect(fields.fromSeq.label).toBe('optional');
    expect(tables.readRequest.decode(tables.readRequest.encode({ fromSeq: 0 })).fromSeq).toBe(0);
    expect(tables.readRequest.decode(tables.readRequest.encode({})).fromSeq).toBeUndefined();
  });

  test('numbers beyond 2^53 are refused, never rounded', () => {
    const beyond = Buffer.from('08ffffffffffffffffff01', 'hex');
    expect(() => tables.getProducerResponse.decode(beyond)).toThrow(/beyond 2\^53/);
    expect(() => tables.getProducerResponse.encode({ epoch: 2 ** 53 })).toThrow();
  });
});
