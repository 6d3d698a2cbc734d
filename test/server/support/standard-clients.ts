/** Clients of the standard services: health and reflection. */
import { createRequire } from 'node:module';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import type { Client, ClientDuplexStream, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath as healthProtoPath } from 'grpc-health-check';

const options = { enums: String, defaults: true, oneofs: true };
type Constructor<Made> = new (address: string, channelCredentials: object) => Made;

interface HealthStatus {
  readonly status: string;
}

export interface HealthClient extends Client {
  check(request: object, more: object, callback: (error: ServiceError | null, response: HealthStatus) => void): void;
  watch(request: object): ClientReadableStream<HealthStatus>;
}

export function healthClient(address: string): HealthClient {
  const loaded = loadPackageDefinition(loadSync(healthProtoPath, options)) as unknown as {
    grpc: { health: { v1: { Health: Constructor<HealthClient> } } };
  };
  return new loaded.grpc.health.v1.Health(address, credentials.createInsecure());
}

interface ReflectionResponse {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
}

export interface ReflectionClient extends Client {
  serverReflectionInfo(): ClientDuplexStream<object, ReflectionResponse>;
}

export function reflectionClient(version: 'v1' | 'v1alpha', address: string): ReflectionClient {
  const requireHere = createRequire(import.meta.url);
  const file = requireHere.resolve(`@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`);
  const loaded = loadPackageDefinition(loadSync(file, options)) as unknown as {
    grpc: { reflection: Record<string, { ServerReflection: Constructor<ReflectionClient> }> };
  };
  const service = loaded.grpc.reflection[version];
  if (!service) throw new Error(`no reflection ${version}`);
  return new service.ServerReflection(address, credentials.createInsecure());
}
