/** What secures a node's listeners, from its files: read at the start, and again as they change. */
import { createSecureContext } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import { credentials, ServerCredentials } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { LogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { isCertifiedFor } from '../../transport/index.js';
import { expiryOf, readAuthorities, readOwnCertificate, requireIssuedBy } from './certificates.js';
import { openGate, TokenGate } from './gate.js';
import { TokenTable } from './token-table.js';
import { parseTokensFile } from './tokens-file.js';
import { WatchedFiles } from './watched-files.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Gauge } from '../../base/ports/metrics.js';
import type { LinkTls } from '../../transport/index.js';
import { advertisedLinkAddress, isListed } from '../config/index.js';
import type { Configuration, ListedNode } from '../config/index.js';
import type { OwnCertificate } from './certificates.js';
import type { CallGate } from './gate.js';
import type { NamedFile } from './watched-files.js';

/** What is withdrawn is out at the latest this long, and a moment, after the file was replaced. */
const lookIntervalMs = 1000;
const renewalWarningMs = 14 * 24 * 3600 * 1000;

type SecurityEnvironment = Pick<Environment, 'clock' | 'disk' | 'logger' | 'metrics'>;

/** Files of gRPC: certificate, key, authorities of clients, authorities of other nodes. */
interface GrpcTls {
  readonly own: OwnCertificate;
  readonly clientCa: Buffer | undefined;
  readonly nodeCa: Buffer | undefined;
}

interface LinkCertificates {
  readonly own: OwnCertificate;
  readonly certificateAuthority: Buffer;
}

/** Credentials of gRPC that can be replaced while it listens; connections that are open stay as they are. */
class ReplaceableCredentials extends ServerCredentials {
  constructor(context: SecureContextOptions, requireCertificate: boolean) {
    super({ requestCert: requireCertificate, rejectUnauthorized: requireCertificate }, context);
  }

  replace(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context);
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

export class NodeSecurity {
  readonly #environment: SecurityEnvironment;
  readonly #configuration: Configuration;
  readonly #stopping = new AbortController();
  readonly #expiry: Gauge;
  readonly #reloads: (() => Promise<void>)[] = [];
  readonly #onLinkRenewal: (() => void)[] = [];
  readonly #onGrpcRenewal: (() => void)[] = [];
  #gate: TokenGate | undefined;
  #grpc: { tls: GrpcTls; readonly server: ReplaceableCredentials } | undefined;
  #link: LinkCertificates | undefined;
  #linkHosts: readonly { readonly id: number; readonly host: string }[] = [];
  #loop: Promise<void> | undefined;

  private constructor(environment: SecurityEnvironment, configuration: Configuration) {
    this.#environment = environment;
    this.#configuration = configuration;
    this.followNodes([]);
    this.#expiry = environment.metrics.gauge(
      'logboom_security_certificate_expiry_timestamp_seconds',
      'When the certificate of the node expires, in seconds since the Unix epoch, by listener.',
    );
  }

  /** @throws LogboomError CONFIGURATION_INVALID naming setting, file and what to do */
  static async open(environment: SecurityEnvironment, configuration: Configuration): Promise<NodeSecurity> {
    const security = new NodeSecurity(environment, configuration);
    await security.#openTokens();
    await security.#openGrpcTls();
    await security.#openLinkTls();
    security.#warn();
    return security;
  }

  /** Looks for changes until `stop`. */
  run(): void {
    this.#loop = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  get gate(): CallGate {
    return this.#gate ?? openGate;
  }

  get serverCredentials(): ServerCredentials {
    return this.#grpc?.server ?? ServerCredentials.createInsecure();
  }

  /** For calls to the gRPC of other nodes. Where clients need a certificate, the node shows its own. */
  channelCredentials(): ChannelCredentials {
    if (this.#grpc === undefined) return credentials.createInsecure();
    const { own, nodeCa, clientCa } = this.#grpc.tls;
    if (clientCa === undefined) return credentials.createSsl(nodeCa ?? null);
    return credentials.createSsl(nodeCa ?? null, own.key, own.certificate);
  }

  /** Of links; undefined: plain. */
  get linkTls(): LinkTls | undefined {
    if (this.#link === undefined) return undefined;
    const current = (): LinkCertificates => this.#link as LinkCertificates;
    const { linkServerName } = this.#configuration.cluster;
    return {
      get certificate() {
        return current().own.certificate;
      },
      get key() {
        return current().own.key;
      },
      get certificateAuthority() {
        return current().certificateAuthority;
      },
      serverName: linkServerName === '' ? undefined : linkServerName,
      namesOf: (nodeId) =>
        linkServerName === ''
          ? this.#linkHosts.filter(({ id }) => nodeId === undefined || id === nodeId).map(({ host }) => host)
          : [linkServerName],
    };
  }

  /** The nodes of the cluster, as the metadata has them: from here on they are known by their hosts, beside those of the list. */
  followNodes(nodes: readonly ListedNode[]): void {
    const all = [...this.#configuration.cluster.nodes, ...nodes];
    this.#linkHosts = all.map(({ id, linkAddress }) => ({ id, host: hostOf(linkAddress) }));
  }

  /** Calls back after certificates of links have changed. */
  onLinkRenewal(callback: () => void): void {
    this.#onLinkRenewal.push(callback);
  }

  /** Calls back after what `channelCredentials` answers has changed. */
  onGrpcRenewal(callback: () => void): void {
    this.#onGrpcRenewal.push(callback);
  }

  async #openTokens(): Promise<void> {
    const path = this.#configuration.security.tokensFile;
    if (path === '') return;
    const files = this.#watch({
      what: 'tokens',
      files: [{ setting: 'security.tokensFile', path }],
      parse: ([bytes]) => new TokenTable(parseTokensFile(path, String(bytes))),
      apply: (table) => this.#gate?.replace(table),
    });
    this.#gate = new TokenGate(this.#environment, await files.load());
  }

  async #openGrpcTls(): Promise<void> {
    const { certificateFile, keyFile, clientCaFile, nodeCaFile } = this.#configuration.tls;
    if (certificateFile === '') return;
    const certificate = { setting: 'tls.certificateFile', path: certificateFile };
    const key = { setting: 'tls.keyFile', path: keyFile };
    const clientCa = { setting: 'tls.clientCaFile', path: clientCaFile };
    const nodeCa = { setting: 'tls.nodeCaFile', path: nodeCaFile };
    const optional = [clientCa, nodeCa].filter(({ path }) => path !== '');
    const files = this.#watch({
      what: 'tls',
      files: [certificate, key, ...optional],
      parse: (bytes): GrpcTls => {
        const [certificateBytes, keyBytes, ...rest] = bytes as [Buffer, Buffer, ...Buffer[]];
        const own = this.#readOwn({ certificate, key }, certificateBytes, keyBytes);
        const authority = (file: NamedFile): Buffer | undefined => {
          const found = rest[optional.indexOf(file)];
          if (found !== undefined) readAuthorities(file, found, this.#nowMs);
          return found;
        };
        const tls = { own, clientCa: authority(clientCa), nodeCa: authority(nodeCa) };
        requireUsable(certificate, contextOf(tls));
        return tls;
      },
      apply: (tls) => {
        if (this.#grpc === undefined) return;
        this.#grpc.tls = tls;
        this.#grpc.server.replace(contextOf(tls));
        this.#noteExpiry('grpc', tls.own);
        for (const callback of this.#onGrpcRenewal) callback();
      },
    });
    const tls = await files.load();
    this.#grpc = { tls, server: new ReplaceableCredentials(contextOf(tls), tls.clientCa !== undefined) };
    this.#noteExpiry('grpc', tls.own);
  }

  async #openLinkTls(): Promise<void> {
    const { linkCertificateFile, linkKeyFile, linkCaFile } = this.#configuration.cluster;
    if (linkCertificateFile === '') return;
    const certificate = { setting: 'cluster.linkCertificateFile', path: linkCertificateFile };
    const key = { setting: 'cluster.linkKeyFile', path: linkKeyFile };
    const ca = { setting: 'cluster.linkCaFile', path: linkCaFile };
    const files = this.#watch({
      what: 'links',
      files: [certificate, key, ca],
      parse: (bytes): LinkCertificates => {
        const [certificateBytes, keyBytes, certificateAuthority] = bytes as [Buffer, Buffer, Buffer];
        const own = this.#readOwn({ certificate, key }, certificateBytes, keyBytes);
        const authorities = readAuthorities(ca, certificateAuthority, this.#nowMs);
        requireIssuedBy(certificate, own, ca, authorities);
        this.#requireOwnName(certificate, own);
        requireUsable(certificate, { cert: own.certificate, key: own.key, ca: certificateAuthority });
        return { own, certificateAuthority };
      },
      apply: (link) => {
        this.#link = link;
        this.#noteExpiry('links', link.own);
        for (const callback of this.#onLinkRenewal) callback();
      },
    });
    this.#link = await files.load();
    this.#noteExpiry('links', this.#link.own);
  }

  /** Otherwise the other nodes would refuse this one, each with a line in a log that nobody looks at. */
  #requireOwnName({ setting, path }: NamedFile, { chain }: OwnCertificate): void {
    const { cluster, nodeId } = this.#configuration;
    const address = isListed(this.#configuration) ? advertisedLinkAddress(this.#configuration) : '';
    const own = address === '' ? undefined : hostOf(address);
    const name = cluster.linkServerName === '' ? own : cluster.linkServerName;
    const [leaf] = chain;
    if (name === undefined || leaf === undefined || isCertifiedFor(leaf, name)) return;
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `${setting}: ${path} is a certificate for ${leaf.subjectAltName ?? 'no name'}, and other nodes know node ${nodeId} as ${name} ` +
        '(cluster.nodes, advertisedAddresses, or cluster.linkServerName): make it for that name',
      { facts: { setting, file: path, name } },
    );
  }

  #readOwn(
    files: { readonly certificate: NamedFile; readonly key: NamedFile },
    certificate: Buffer,
    key: Buffer,
  ): OwnCertificate {
    return readOwnCertificate(files, { certificate, key }, this.#nowMs);
  }

  #watch<Content>({
    apply,
    ...options
  }: {
    readonly what: string;
    readonly files: readonly NamedFile[];
    readonly parse: (bytes: readonly Buffer[]) => Content;
    readonly apply: (content: Content) => void;
  }): WatchedFiles<Content> {
    const files = new WatchedFiles(this.#environment, options);
    this.#reloads.push(async () => {
      const content = await files.reload();
      if (content !== undefined) apply(content);
    });
    return files;
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await sleep(this.#environment.clock, lookIntervalMs, signal);
      if (signal.aborted) return;
      this.#gate?.endExpired();
      for (const reload of this.#reloads) await reload();
    }
  }

  #noteExpiry(listener: 'grpc' | 'links', { chain }: OwnCertificate): void {
    const [leaf] = chain;
    if (leaf === undefined) return;
    const expiresMs = expiryOf(leaf);
    this.#expiry.set(expiresMs / 1000, { listener });
    if (expiresMs - this.#nowMs > renewalWarningMs) return;
    this.#environment.logger.warn('a certificate expires soon', {
      listener,
      expires: new Date(expiresMs).toISOString(),
    });
  }

  /** What is allowed, and may still be a mistake. */
  #warn(): void {
    const { advertisedAddresses } = this.#configuration;
    const { logger } = this.#environment;
    if (this.#gate !== undefined && isListed(this.#configuration) && this.#link === undefined) {
      logger.warn('calls need tokens, and links do not need certificates: whoever reaches the links needs no token', {
        setting: 'cluster.linkCertificateFile',
      });
    }
    const leaf = this.#grpc?.tls.own.chain[0];
    for (const address of leaf === undefined ? [] : advertisedAddresses) {
      if (isCertifiedFor(leaf as NonNullable<typeof leaf>, hostOf(address))) continue;
      logger.warn('the certificate of gRPC is not one for an advertised address: clients will refuse it', {
        address,
        certified: leaf?.subjectAltName,
      });
    }
  }

  get #nowMs(): number {
    return this.#environment.clock.wallMs();
  }
}

function contextOf({ own, clientCa }: GrpcTls): SecureContextOptions {
  return { cert: own.certificate, key: own.key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** What OpenSSL refuses, such as a key that is too short, is told now and not at the first connection. */
function requireUsable({ setting, path }: NamedFile, options: SecureContextOptions): void {
  try {
    createSecureContext(options);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new LogboomError('CONFIGURATION_INVALID', `${setting}: ${path} cannot be used: ${detail}`, {
      facts: { setting, file: path },
      cause: error,
    });
  }
}

/** Of `HOST:PORT`, brackets of IPv6 kept. */
const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':'));
