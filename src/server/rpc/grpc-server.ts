/** The gRPC server of a node: services, health, reflection. */
import { Server, logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { formatAddress, listenError } from '../listen.js';
import { clusterService, reflectedDefinition, streamService } from './definitions.js';
import { turnAwayStrangers } from './strangers.js';
import type { ServerCredentials, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { CallGate } from '../security/gate.js';

export interface GrpcServerParts {
  readonly host: string;
  readonly port: number;
  /** Of the largest request. */
  readonly messageBytesMax: number;
  readonly maxConcurrentStreams: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly credentials: ServerCredentials;
  readonly gate: CallGate;
  readonly streamMethods: UntypedServiceImplementation;
  readonly clusterMethods: UntypedServiceImplementation;
}

const healthServices = ['', 'logboom.v1.StreamService', 'logboom.v1.ClusterService'];

export class GrpcServer {
  readonly #parts: GrpcServerParts;
  readonly #server: Server;
  readonly #health: HealthImplementation;

  constructor(parts: GrpcServerParts) {
    this.#parts = parts;
    this.#server = new Server({
      'grpc.max_receive_message_length': parts.messageBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': parts.maxConcurrentStreams,
      'grpc.keepalive_time_ms': parts.keepaliveMs,
      'grpc.keepalive_timeout_ms': parts.keepaliveTimeoutMs,
      // It would count and trace every call and message.
      'grpc.enable_channelz': 0,
      ...(parts.gate.isOpen ? {} : { interceptors: [turnAwayStrangers(parts.gate)] }),
    });
    this.#server.addService(streamService as unknown as ServiceDefinition, parts.streamMethods);
    this.#server.addService(clusterService as unknown as ServiceDefinition, parts.clusterMethods);
    this.#health = new HealthImplementation(
      Object.fromEntries(healthServices.map((service) => [service, 'NOT_SERVING' as const])),
    );
    this.#health.addToServer(this.#server);
    new ReflectionService(reflectedDefinition).addToServer(this.#server);
  }

  /**
   * Listens; answers the port.
   *
   * @throws LogboomError ADDRESS_IN_USE, CONFIGURATION_INVALID
   */
  run(): Promise<number> {
    const address = formatAddress(this.#parts.host, this.#parts.port);
    // What fails is told through callbacks; grpc-js would print it on standard error besides.
    setLogVerbosity(logVerbosity.NONE);
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, this.#parts.credentials, (error, port) => {
        if (error) reject(listenError(error, address, 'port'));
        else resolve(port);
      });
    });
  }

  setServing(serving: boolean): void {
    for (const service of healthServices) this.#health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING');
  }

  /** Takes no new connection and asks clients to leave theirs; resolves when all have. */
  drain(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  /** Closes every connection at once. */
  stop(): void {
    this.#server.forceShutdown();
  }
}
