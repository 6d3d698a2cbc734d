/** Codecs of proto-loader (protobufjs), independent of the server's own. */
import path from 'node:path';
import { loadSync } from '@grpc/proto-loader';
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';

const root = path.resolve(import.meta.dirname, '../../..');
const options = { longs: String, enums: String, defaults: true, oneofs: true };

/** Messages in the field names of proto-loader. */
export type Message = Readonly<Record<string, unknown>>;

export interface MethodCodecs {
  readonly encodeRequest: (message: object) => Buffer;
  readonly decodeRequest: (bytes: Uint8Array) => Message;
  readonly encodeResponse: (message: object) => Buffer;
  readonly decodeResponse: (bytes: Uint8Array) => Message;
}

function codecs(service: ServiceDefinition, method: string): MethodCodecs {
  const definition = service[method] as MethodDefinition<object, object>;
  return {
    encodeRequest: definition.requestSerialize,
    decodeRequest: (bytes) => definition.requestDeserialize(Buffer.from(bytes)) as Message,
    encodeResponse: definition.responseSerialize,
    decodeResponse: (bytes) => definition.responseDeserialize(Buffer.from(bytes)) as Message,
  };
}

export const packageDefinition = loadSync(['logboom/v1/streams.proto', 'logboom/v1/cluster.proto'], {
  ...options,
  includeDirs: [path.join(root, 'proto')],
});

const google = loadSync(path.join(root, 'test/server/testdata/google-rpc.proto'), options);

export const streamCodecs = (method: string): MethodCodecs =>
  codecs(packageDefinition['logboom.v1.StreamService'] as ServiceDefinition, method);

export const googleCodecs = (message: string): MethodCodecs =>
  codecs(google['google.rpc.Codecs'] as ServiceDefinition, message);

/** `google.rpc.Status` with its details decoded. */
export function decodeStatusDetails(bytes: Uint8Array): {
  code: number;
  message: string;
  errorInfo: { reason: string; domain: string; metadata: Record<string, string> };
  hasRetryInfo: boolean;
  retryDelayMs: number | undefined;
} {
  const status = googleCodecs('Status').decodeResponse(bytes);
  const details = status['details'] as { type_url?: string; typeUrl?: string; value: Buffer }[];
  const ofType = (name: string): Message | undefined => {
    const detail = details.find((any) => (any.type_url ?? any.typeUrl) === `type.googleapis.com/google.rpc.${name}`);
    return detail && googleCodecs(name).decodeResponse(detail.value);
  };
  const retryInfo = ofType('RetryInfo');
  const retry = retryInfo?.['retryDelay'] as { seconds: string; nanos: number } | null | undefined;
  return {
    code: status['code'] as number,
    message: status['message'] as string,
    errorInfo: ofType('ErrorInfo') as never,
    hasRetryInfo: retryInfo !== undefined,
    retryDelayMs: retry ? Number(retry.seconds) * 1000 + retry.nanos / 1e6 : undefined,
  };
}
