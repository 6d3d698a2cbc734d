/**
 * Protocol buffer messages described by tables, so that the client needs neither a parser of .proto files nor generated
 * code at run time: a command line that starts in a tenth of a second cannot load one. test/client/messages.test.ts
 * proves every table against proto/.
 */
import { ProtobufError, ProtobufReader, ProtobufWriter, readVarint32, skipVarint, WireType } from '../base/protobuf.js';
import { ClientError } from './errors.js';

/** Scalar and message types, by the names of the protocol buffer language; `enum` values are numbers. */
export type Kind = 'string' | 'bytes' | 'bool' | 'uint32' | 'uint64' | 'int32' | 'int64' | 'enum' | 'message';
export type Label = 'plain' | 'optional' | 'repeated' | 'map';

interface Scalar<Value> {
  readonly kind: Kind;
  readonly wireType: number;
  readonly initial: Value;
  read(reader: ProtobufReader): Value;
  write(writer: ProtobufWriter, number: number, value: Value): void;
}

/** One field. Values that are equal to `initial()` are not written, as proto3 has it, unless presence is tracked. */
export interface Field<Value> {
  readonly number: number;
  readonly kind: Kind;
  readonly label: Label;
  initial(): Value;
  read(reader: ProtobufReader, previous: Value): Value;
  write(writer: ProtobufWriter, value: Value): void;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F> = F extends Field<infer Value> ? Value : never;
/** A decoded message: every field is there, with its default when it was not set. */
type Decoded<F> = { readonly [Name in keyof F]: ValueOf<F[Name]> };
/** A message to encode: fields may be left out. */
type Encodable<F> = { readonly [Name in keyof F]?: ValueOf<F[Name]> | undefined };

export interface Message<F> {
  readonly fields: F;
  /** @throws ProtobufError when a number is out of range */
  encode(value: Encodable<F>): Buffer;
  /** Bytes fields are views of `bytes`. @throws ClientError PROTOCOL */
  decode(bytes: Buffer): Decoded<F>;
  write(value: Encodable<F>): ProtobufWriter;
  read(reader: ProtobufReader): Decoded<F>;
}
export type MessageValue<M> = M extends Message<infer F> ? Decoded<F> : never;

export function message<F extends Fields>(fields: F): Message<F> {
  const entries = Object.entries(fields);
  const byNumber = new Map(entries.map(([name, field]) => [field.number, { name, field }]));
  const write = (value: Encodable<F>): ProtobufWriter => {
    const writer = new ProtobufWriter();
    const values = value as Readonly<Record<string, unknown>>;
    for (const [name, field] of entries) {
      if (values[name] !== undefined) field.write(writer, values[name]);
    }
    return writer;
  };
  const read = (reader: ProtobufReader): Decoded<F> => {
    const values: Record<string, unknown> = {};
    for (const [name, field] of entries) values[name] = field.initial();
    while (reader.next()) {
      const known = byNumber.get(reader.field);
      if (known) values[known.name] = known.field.read(reader, values[known.name]);
      else reader.skip();
    }
    return values as Decoded<F>;
  };
  return {
    fields,
    write,
    read,
    encode: (value) => asBuffer(write(value).finish()),
    decode: (bytes) => {
      try {
        return read(new ProtobufReader(bytes));
      } catch (error) {
        if (!(error instanceof ProtobufError)) throw error;
        throw new ClientError('PROTOCOL', `malformed message: ${error.message}`, { cause: error });
      }
    },
  };
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

const noBytes = Buffer.alloc(0);

const stringType: Scalar<string> = {
  kind: 'string',
  wireType: WireType.lengthDelimited,
  initial: '',
  read: (reader) => reader.string(),
  write: (writer, number, value) => writer.string(number, value),
};
const bytesType: Scalar<Buffer> = {
  kind: 'bytes',
  wireType: WireType.lengthDelimited,
  initial: noBytes,
  // A view of the Buffer that the message was decoded from, and so itself one.
  read: (reader) => reader.bytes() as Buffer,
  write: (writer, number, value) => writer.bytes(number, value),
};
const boolType: Scalar<boolean> = {
  kind: 'bool',
  wireType: WireType.varint,
  initial: false,
  read: (reader) => reader.bool(),
  write: (writer, number, value) => writer.bool(number, value),
};
const unsignedType = (kind: 'uint32' | 'uint64' | 'enum'): Scalar<number> => ({
  kind,
  wireType: WireType.varint,
  initial: 0,
  read: (reader) => (kind === 'uint64' ? reader.uint64() : reader.uint32()),
  write: (writer, number, value) => writer.uint64(number, value),
});
const signedType = (kind: 'int32' | 'int64'): Scalar<number> => ({
  kind,
  wireType: WireType.varint,
  initial: 0,
  read: (reader) => (kind === 'int64' ? reader.int64() : reader.int32()),
  write: (writer, number, value) => writer.int64(number, value),
});

function plain<Value>(number: number, scalar: Scalar<Value>): Field<Value> {
  return {
    number,
    kind: scalar.kind,
    label: 'plain',
    initial: () => scalar.initial,
    read: (reader) => scalar.read(reader),
    write: (writer, value) => {
      if (value !== scalar.initial) scalar.write(writer, number, value);
    },
  };
}

function present<Value>(number: number, scalar: Scalar<Value>): Field<Value | undefined> {
  return {
    number,
    kind: scalar.kind,
    label: 'optional',
    initial: () => undefined,
    read: (reader) => scalar.read(reader),
    write: (writer, value) => {
      if (value !== undefined) scalar.write(writer, number, value);
    },
  };
}

function list<Value>(number: number, scalar: Scalar<Value>): Field<readonly Value[]> {
  return {
    number,
    kind: scalar.kind,
    label: 'repeated',
    initial: () => [],
    read: (reader, previous) => {
      const values = previous as Value[];
      if (scalar.wireType === WireType.varint && reader.wireType === WireType.lengthDelimited)
        values.push(...(unpack(reader.bytes()) as Value[]));
      else values.push(scalar.read(reader));
      return values;
    },
    // Never packed: any parser takes both, and requests hold a handful.
    write: (writer, values) => {
      for (const value of values) scalar.write(writer, number, value);
    },
  };
}

/** Packed uint32 or enum values. */
function unpack(bytes: Uint8Array): number[] {
  const values: number[] = [];
  for (let at = 0; at < bytes.length; at = skipVarint(bytes, at, bytes.length)) {
    const value = readVarint32(bytes, at, bytes.length);
    if (value < 0) throw new ProtobufError(`packed value at byte ${at} is truncated or has more than 32 bits`);
    values.push(value);
  }
  return values;
}

function embedded<F>(inner: Message<F>): Scalar<Decoded<F>> {
  return {
    kind: 'message',
    wireType: WireType.lengthDelimited,
    initial: undefined as unknown as Decoded<F>,
    read: (reader) => inner.read(reader.message()),
    write: (writer, number, value) => writer.message(number, inner.write(value)),
  };
}

const mapEntry = message({ key: plain(1, stringType), value: plain(2, stringType) });

/** Constructors of fields; the argument is the field number. */
export const field = {
  string: (number: number) => plain(number, stringType),
  bytes: (number: number) => plain(number, bytesType),
  bool: (number: number) => plain(number, boolType),
  uint32: (number: number) => plain(number, unsignedType('uint32')),
  uint64: (number: number) => plain(number, unsignedType('uint64')),
  int32: (number: number) => plain(number, signedType('int32')),
  int64: (number: number) => plain(number, signedType('int64')),
  enum: (number: number) => plain(number, unsignedType('enum')),
  message: <F>(number: number, inner: Message<F>) => present(number, embedded(inner)),
  optionalString: (number: number) => present(number, stringType),
  optionalBytes: (number: number) => present(number, bytesType),
  optionalUint32: (number: number) => present(number, unsignedType('uint32')),
  optionalUint64: (number: number) => present(number, unsignedType('uint64')),
  optionalInt64: (number: number) => present(number, signedType('int64')),
  strings: (number: number) => list(number, stringType),
  uint32s: (number: number) => list(number, unsignedType('uint32')),
  enums: (number: number) => list(number, unsignedType('enum')),
  messages: <F>(number: number, inner: Message<F>) => list(number, embedded(inner)),
  /** `map<string, string>` */
  stringMap: (number: number): Field<Readonly<Record<string, string>>> => ({
    number,
    kind: 'message',
    label: 'map',
    initial: () => ({}),
    read: (reader, previous) => {
      const entry = mapEntry.read(reader.message());
      return { ...previous, [entry.key]: entry.value };
    },
    write: (writer, value) => {
      for (const [key, text] of Object.entries(value)) writer.message(number, mapEntry.write({ key, value: text }));
    },
  }),
};
