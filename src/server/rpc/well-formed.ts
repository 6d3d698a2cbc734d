/**
 * Whether bytes are a well-formed message, for methods that protobufjs decodes: it takes truncated strings for shorter
 * ones and bad UTF-8 for other text, and a name that was cut must not delete another stream.
 */
import type { ProtobufReader } from '../../base/protobuf.js';
import { ProtobufError, WireType } from '../../base/protobuf.js';
import type { PackageDefinition } from '@grpc/proto-loader';

/** What is used of a DescriptorProto (google/protobuf/descriptor.proto). */
interface MessageType {
  readonly field: readonly {
    readonly number: number;
    readonly label: string;
    readonly type: string;
    readonly typeName: string;
  }[];
}

type FieldCheck = (reader: ProtobufReader) => void;

const checks: Readonly<Record<string, FieldCheck>> = {
  TYPE_STRING: (reader) => void reader.string(),
  TYPE_BYTES: (reader) => void reader.bytes(),
  TYPE_BOOL: (reader) => void reader.bool(),
  TYPE_UINT32: (reader) => void reader.uint32(),
  TYPE_INT32: (reader) => void reader.int32(),
  TYPE_ENUM: (reader) => void reader.int32(),
  TYPE_UINT64: checkVarint,
  TYPE_INT64: checkVarint,
};

/** All 64 bits are allowed here: what a field may be is for the method to say. */
function checkVarint(reader: ProtobufReader): void {
  if (reader.wireType !== WireType.varint) throw new ProtobufError(`field ${reader.field} is no varint`);
  reader.skip();
}

/** Throws ProtobufError for bytes that are not a message of the type. */
export type MessageCheck = (reader: ProtobufReader) => void;

/** The check of a message type of a package, by its simple name. Unknown fields only have to be well-formed. */
export function messageCheck(definition: PackageDefinition, packageName: string, type: MessageType): MessageCheck {
  const fields = new Map(
    type.field.map((field): [number, FieldCheck] => {
      if (field.type !== 'TYPE_MESSAGE') return [field.number, checks[field.type] ?? ((reader) => reader.skip())];
      const nested = definition[`${packageName}.${field.typeName}`];
      if (!nested || !('type' in nested)) throw new Error(`no message ${packageName}.${field.typeName}`);
      const check = messageCheck(definition, packageName, nested.type as unknown as MessageType);
      return [field.number, (reader) => check(reader.message())];
    }),
  );
  return (reader) => {
    while (reader.next()) {
      const check = fields.get(reader.field);
      if (check) check(reader);
      else reader.skip();
    }
  };
}
