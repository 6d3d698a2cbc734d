/** A node that admits tokens only, and calls of every method with any token. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials, ServiceError } from '@grpc/grpc-js';
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { onTestFinished } from 'vitest';
import { digestOf } from '../../../src/server/security/token-table.js';
import type { MethodName, StreamRight } from '../../../src/server/security/rights.js';
import { packageDefinition } from './proto-codecs.js';
import { temporaryDirectory } from './temporary-directory.js';
import { detailsOf, startTestNode } from './test-node.js';
import type { TestNode } from './test-node.js';

type Method = MethodDefinition<object, object>;

/** Of both services, by name. */
export const protoMethods: ReadonlyMap<string, Method> = new Map(
  ['StreamService', 'ClusterService'].flatMap((service) =>
    Object.entries(packageDefinition[`logboom.v1.${service}`] as ServiceDefinition),
  ),
);

export interface TestToken {
  readonly token: string;
  readonly grants?: readonly {
    readonly streams: string | readonly string[];
    readonly rights: readonly StreamRight[];
  }[];
  readonly cluster?: readonly string[];
  readonly expires?: string;
}

export type TestTokens = Readonly<Record<string, TestToken>>;

export const tokensFileOf = (tokens: TestTokens): string =>
  JSON.stringify({
    version: 1,
    tokens: Object.entries(tokens).map(([name, { token, ...entry }]) => ({
      name,
      sha256: digestOf(token).toString('hex'),
      ...entry,
    })),
  });

export interface SecuredNode extends TestNode {
  readonly tokensFile: string;
  readonly setTokens: (tokens: TestTokens) => Promise<void>;
}

export async function startSecuredNode(tokens: TestTokens, flags: readonly string[] = []): Promise<SecuredNode> {
  const directory = await temporaryDirectory();
  await mkdir(directory, { recursive: true });
  const tokensFile = path.join(directory, 'tokens.json');
  const setTokens = (changed: TestTokens): Promise<void> => writeFile(tokensFile, tokensFileOf(changed));
  await setTokens(tokens);
  const node = await startTestNode({ flags: [`--security-tokens-file=${tokensFile}`, ...flags] });
  return { ...node, tokensFile, setTokens };
}

export const authorizationOf = (token: string | undefined): Metadata => {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
};

/** A call of any kind, as a stream of messages both ways. */
export interface OpenCall {
  readonly messages: object[];
  readonly write: (message: object) => void;
  readonly end: () => void;
  readonly cancel: () => void;
  /** Resolves when that many messages are there, or the call has ended. */
  readonly until: (count: number) => Promise<void>;
  /** Resolves with the error, or undefined, when it has ended. */
  readonly ended: Promise<ServiceError | undefined>;
}

export class RawClient {
  readonly #client: Client;

  constructor(address: string, channelCredentials: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(address, channelCredentials, { 'grpc.use_local_subchannel_pool': 1 });
    onTestFinished(() => this.#client.close());
  }

  open(name: string, request: object, metadata: Metadata): OpenCall {
    const method = protoMethods.get(name);
    if (method === undefined) throw new Error(`no method ${name}`);
    const { path: methodPath, requestSerialize, responseDeserialize, requestStream, responseStream } = method;
    const messages: object[] = [];
    const waiters: (() => void)[] = [];
    const wake = (): void => {
      for (const waiter of waiters.splice(0)) waiter();
    };
    let hasEnded = false;
    let finish: (error: ServiceError | undefined) => void = () => {};
    const ended = new Promise<ServiceError | undefined>((resolve) => {
      finish = (error) => {
        hasEnded = true;
        resolve(error);
        wake();
      };
    });
    const until = async (count: number): Promise<void> => {
      while (messages.length < count && !hasEnded) await new Promise<void>((resolve) => waiters.push(resolve));
    };
    const take = (message: object): void => {
      messages.push(message);
      wake();
    };
    if (!requestStream && !responseStream) {
      const call = this.#client.makeUnaryRequest(
        methodPath,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        (error, response) => {
          if (response) take(response);
          finish(error ?? undefined);
        },
      );
      return { messages, write: () => {}, end: () => {}, cancel: () => call.cancel(), until, ended };
    }
    const sending = requestStream
      ? this.#client.makeBidiStreamRequest(methodPath, requestSerialize, responseDeserialize, metadata)
      : undefined;
    const call =
      sending ??
      this.#client.makeServerStreamRequest(methodPath, requestSerialize, responseDeserialize, request, metadata);
    call.on('data', take);
    call.on('error', (error: ServiceError) => finish(error));
    call.on('end', () => setImmediate(() => finish(undefined)));
    const write = (message: object): void => void sending?.write(message);
    const end = (): void => void sending?.end();
    if (requestStream) write(request);
    return { messages, write, end, cancel: () => call.cancel(), until, ended };
  }

  /** The reason of the call's failure, or of the answer to the one append of a session; OK otherwise. */
  async reasonOf(name: MethodName, request: object, token: string | undefined): Promise<string> {
    const call = this.open(name, request, authorizationOf(token));
    await call.until(1);
    const [first] = call.messages as { readonly error?: { readonly reason: string } }[];
    call.cancel();
    const error = await call.ended;
    if (first !== undefined) return first.error?.reason ?? 'OK';
    return error === undefined ? 'OK' : reasonOfError(error);
  }
}

export const reasonOfError = (error: ServiceError): string => detailsOf(error).errorInfo.reason;
