import { ProtobufError, ProtobufReader } from '../../base/protobuf.js';

/**
 * The stream that a request names, read in place: field 1 of every request of StreamService that has a stream. Undefined
 * for bytes that are no message, about which the method itself has more to say.
 */
export function streamNameOf(request: Uint8Array): string | undefined {
  try {
    let name = '';
    const reader = new ProtobufReader(request);
    while (reader.next()) {
      if (reader.field === 1) name = reader.string();
      else reader.skip();
    }
    return name;
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    return undefined;
  }
}
