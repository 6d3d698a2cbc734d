/** How a client shows who it is, and knows with whom it talks: TLS and the token of each call. */
import { readFileSync } from 'node:fs';
import { credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { LogboomError } from '../base/errors.js';
import { isLoopback } from '../base/loopback.js';
import { ClientError } from './errors.js';

/** Files in PEM form, read again for each new connection. */
export interface TlsOptions {
  /** Authorities that the server's certificate must be signed by; without it those that Node.js knows. */
  readonly caFile?: string | undefined;
  /** Certificate of this client, for servers that ask for one; with `keyFile`. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** The name that the server's certificate must carry, where it is not the host of the address. */
  readonly serverName?: string | undefined;
}

export interface CredentialOptions {
  /** `true`: TLS with the authorities that Node.js knows. Without it connections are plain. */
  readonly tls?: TlsOptions | boolean | undefined;
  /** Sent with every call. */
  readonly token?: string | undefined;
  /** A file that holds the token; read again when it changes, so that a token can be replaced while the client runs. */
  readonly tokenFile?: string | undefined;
  /** Allows sending the token unencrypted beyond this machine, to whoever listens on the way. */
  readonly allowPlaintextToken?: boolean | undefined;
}

/** How old what was read of a token file may become. */
const tokenAgeMsMax = 1000;

export class Credentials {
  readonly #tls: TlsOptions | undefined;
  readonly #tokenFile: string | undefined;
  readonly #allowPlaintextToken: boolean;
  readonly #nowMs: () => number;
  #token: string | undefined;
  #tokenReadMs = Number.NEGATIVE_INFINITY;
  #metadata = new Metadata();
  #channelCredentials: ChannelCredentials;

  /** @throws LogboomError INVALID_ARGUMENT naming what cannot be used */
  constructor(options: CredentialOptions, addresses: readonly string[], nowMs = (): number => performance.now()) {
    const { tls, token, tokenFile, allowPlaintextToken = false } = options;
    if (token !== undefined && tokenFile !== undefined) throw invalid('token and tokenFile are both given');
    this.#tls = tls === true ? {} : tls === false ? undefined : tls;
    this.#tokenFile = tokenFile;
    this.#allowPlaintextToken = allowPlaintextToken;
    this.#nowMs = nowMs;
    this.#channelCredentials = this.#readChannelCredentials();
    this.#take(tokenFile === undefined ? token : readToken(tokenFile));
    const exposed = addresses.find((address) => !this.mayUse(address));
    if (exposed !== undefined) throw invalid(plaintextMessage(exposed));
  }

  /** What a channel needs besides. */
  get channelOptions(): ChannelOptions {
    const serverName = this.#tls?.serverName;
    return serverName === undefined
      ? {}
      : { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName };
  }

  /** For a new connection. Files that have become unreadable do not end a client that runs. */
  channelCredentials(): ChannelCredentials {
    try {
      this.#channelCredentials = this.#readChannelCredentials();
    } catch {
      // Those that were read before may still do, and the server says so if not.
    }
    return this.#channelCredentials;
  }

  /** Whether calls may go there: a token is for the server alone. */
  mayUse(address: string): boolean {
    const isExposed = this.#token !== undefined && this.#tls === undefined && !this.#allowPlaintextToken;
    return !isExposed || isLoopback(address.slice(0, address.lastIndexOf(':')));
  }

  /** To be sent with a call. @throws ClientError UNREACHABLE for where a token must not go */
  metadata(address: string): Metadata {
    if (this.#tokenFile !== undefined && this.#nowMs() - this.#tokenReadMs > tokenAgeMsMax) this.#readAgain();
    if (!this.mayUse(address)) throw new ClientError('UNREACHABLE', plaintextMessage(address));
    return this.#metadata;
  }

  /** Whether another token is to be had than the one that was sent: then a refused call may be made again. */
  hasChangedSince(sent: Metadata): boolean {
    if (this.#tokenFile === undefined) return false;
    this.#readAgain();
    return this.#metadata !== sent;
  }

  #readAgain(): void {
    try {
      const token = readToken(this.#tokenFile as string);
      if (token !== this.#token) this.#take(token);
      this.#tokenReadMs = this.#nowMs();
    } catch {
      // It may be on its way; the token that was read before is as good as it was.
      this.#tokenReadMs = this.#nowMs();
    }
  }

  #take(token: string | undefined): void {
    const metadata = new Metadata();
    if (token !== undefined && !/^[\x21-\x7e]{1,4096}$/.test(token))
      throw invalid('the token is not 1 to 4096 printable ASCII characters without spaces');
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    this.#token = token;
    this.#metadata = metadata;
    this.#tokenReadMs = this.#nowMs();
  }

  #readChannelCredentials(): ChannelCredentials {
    if (this.#tls === undefined) return credentials.createInsecure();
    const { caFile, certFile, keyFile } = this.#tls;
    if ((certFile === undefined) !== (keyFile === undefined))
      throw invalid('tls: the certificate of the client and its key (certFile, keyFile) come together');
    const [ca, key, certificate] = [caFile, keyFile, certFile].map((file) =>
      file === undefined ? null : readBytes(file),
    ) as [Buffer | null, Buffer | null, Buffer | null];
    try {
      return credentials.createSsl(ca, key, certificate);
    } catch (error) {
      const files = [caFile, certFile, keyFile].filter((file) => file !== undefined).join(', ');
      throw invalid(`tls: ${files} cannot be used: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  }
}

function readToken(file: string): string {
  const token = readBytes(file).toString('utf8').trim();
  if (token === '') throw invalid(`the token file ${file} is empty`);
  return token;
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw invalid(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function plaintextMessage(address: string): string {
  return (
    `the token is not sent to ${address} unencrypted, where whoever listens on the way would have it: use TLS, ` +
    'or allow it in so many words (allowPlaintextToken)'
  );
}

const invalid = (message: string, cause?: unknown): LogboomError =>
  new LogboomError('INVALID_ARGUMENT', message, { cause });
