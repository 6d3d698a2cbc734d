/** What the benchmark uses of the NATS client for Node, version 3. */
export interface NatsConnection {
  readonly info?: { readonly server_name: string };
  publish(subject: string, payload: Uint8Array): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface TransportModule {
  connect(options: {
    readonly servers: readonly string[];
    readonly noRandomize: boolean;
    readonly maxReconnectAttempts: number;
    readonly reconnectTimeWait: number;
  }): Promise<NatsConnection>;
}

export interface StreamInfo {
  readonly cluster?: { readonly leader?: string };
  readonly state: { readonly messages: number };
}

export interface JetStreamManager {
  readonly streams: {
    add(config: Readonly<Record<string, unknown>>): Promise<StreamInfo>;
    info(stream: string): Promise<StreamInfo>;
  };
}

export interface JsMessage {
  readonly data: Uint8Array;
}

export interface ConsumerMessages extends AsyncIterable<JsMessage> {
  close(): Promise<unknown>;
}

export interface Consumer {
  consume(options: {
    readonly max_messages: number;
    readonly callback?: (message: JsMessage) => void;
  }): Promise<ConsumerMessages>;
}

export interface BatchPublisher {
  add(subject: string, payload: Uint8Array): void;
  commit(subject: string, payload: Uint8Array, options: { readonly timeout: number }): Promise<unknown>;
}

export interface JetStreamClient {
  readonly consumers: {
    get(stream: string, options: Readonly<Record<string, unknown>>): Promise<Consumer>;
  };
  publish(subject: string, payload: Uint8Array): Promise<unknown>;
  startBatch(subject: string, payload: Uint8Array): Promise<BatchPublisher>;
}

export interface JetStreamModule {
  jetstream(connection: NatsConnection, options: { readonly timeout: number }): JetStreamClient;
  jetstreamManager(connection: NatsConnection, options: { readonly checkAPI: boolean }): Promise<JetStreamManager>;
}
