/**
 * The services of proto/logboom/v1 as grpc-js takes them. Cold methods go through the codecs of proto-loader. The hot ones
 * get and give the bytes of their messages: proto-loader would turn every record into an object and back, which was
 * measured to cost a quarter of the throughput, and the server has no use for the objects.
 */
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import { protoPath as healthProtoPath } from 'grpc-health-check';
import { assert } from '../../base/assert.js';
import { LogboomError } from '../../base/errors.js';
import { ProtobufReader } from '../../base/protobuf.js';
import { messageCheck } from './well-formed.js';
import type { MethodDefinition, PackageDefinition, ServiceDefinition } from '@grpc/proto-loader';

/** The same from src/server/rpc and dist/server/rpc. */
const protoDirectory = fileURLToPath(new URL('../../../proto', import.meta.url));

const hotMethods = new Set(['Append', 'AppendSession', 'Read', 'Tail', 'GetContext']);

/** 64-bit numbers come as text, so that those beyond 2^53 are seen and not rounded. */
const codecOptions = { longs: String, enums: String, defaults: true, oneofs: true };

const protoFiles = ['logboom/v1/streams.proto', 'logboom/v1/cluster.proto'];
const packageName = 'logboom.v1';

const packageDefinition = loadSync(protoFiles, { ...codecOptions, includeDirs: [protoDirectory] });

/** What reflection tells clients about: with the names of fields as the proto files have them. */
export const reflectedDefinition: PackageDefinition = {
  ...loadSync(protoFiles, { keepCase: true, includeDirs: [protoDirectory] }),
  ...loadSync(healthProtoPath, { keepCase: true }),
};

/** A decoded request of a cold method, or why it is none: only the handler can answer INVALID_ARGUMENT. */
export type Decoded = { readonly message: unknown; readonly bytes: Buffer } | { readonly refusal: LogboomError };

function serviceDefinition(name: string): ServiceDefinition {
  const definition = packageDefinition[`${packageName}.${name}`];
  assert(definition !== undefined && !('format' in definition), () => `no service ${name} in the proto files`);
  return definition;
}

function passThrough(method: MethodDefinition<object, object>): object {
  const identity = (bytes: Buffer): Buffer => bytes;
  return { ...method, requestDeserialize: identity, responseSerialize: identity };
}

function checked(method: MethodDefinition<object, object>): object {
  const check = messageCheck(
    packageDefinition,
    packageName,
    method.requestType.type as Parameters<typeof messageCheck>[2],
  );
  const requestDeserialize = (bytes: Buffer): Decoded => {
    try {
      check(new ProtobufReader(bytes));
      return { message: method.requestDeserialize(bytes), bytes };
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      return { refusal: new LogboomError('INVALID_ARGUMENT', `the bytes are no request of ${method.path}: ${detail}`) };
    }
  };
  // The answer of another node is passed on as its bytes.
  const responseSerialize = (answer: object): Buffer =>
    Buffer.isBuffer(answer) ? answer : method.responseSerialize(answer);
  return { ...method, requestDeserialize, responseSerialize };
}

function forServer(name: string): Record<string, object> {
  return Object.fromEntries(
    Object.entries(serviceDefinition(name)).map(([methodName, method]) => {
      const definition = method;
      return [methodName, hotMethods.has(methodName) ? passThrough(definition) : checked(definition)];
    }),
  );
}

/** How this node asks another one: the same methods from the other side. */
export function callerOf(
  service: 'StreamService' | 'ClusterService',
  method: string,
): MethodDefinition<object, object> {
  const definition = serviceDefinition(service)[method];
  assert(definition !== undefined, () => `no method ${method} in ${service}`);
  return definition;
}

export const streamService = forServer('StreamService');
export const clusterService = forServer('ClusterService');
