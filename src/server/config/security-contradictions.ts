/** What may listen where: a listener that other machines reach is secured, or the configuration says that it need not be. */
import { isLoopback } from '../../base/loopback.js';
import { linkListenAddress } from './cluster-contradictions.js';
import type { Contradiction } from './contradiction.js';
import type { Configuration } from './settings.js';

export function securityContradictions(configuration: Configuration): Contradiction[] {
  return [
    ...incompleteFiles(configuration),
    ...grpcContradictions(configuration),
    ...httpContradictions(configuration),
    ...linkContradictions(configuration),
  ];
}

/** Whether links are mutual TLS. */
export const hasLinkTls = ({ cluster }: Configuration): boolean => cluster.linkCertificateFile !== '';

function incompleteFiles({ tls, cluster }: Configuration): Contradiction[] {
  const groups: readonly (readonly (readonly [key: string, path: string])[])[] = [
    [
      ['tls.certificateFile', tls.certificateFile],
      ['tls.keyFile', tls.keyFile],
    ],
    [
      ['cluster.linkCertificateFile', cluster.linkCertificateFile],
      ['cluster.linkKeyFile', cluster.linkKeyFile],
      ['cluster.linkCaFile', cluster.linkCaFile],
    ],
  ];
  const found = groups.flatMap((group): Contradiction[] => {
    const set = group.filter(([, path]) => path !== '').map(([key]) => key);
    const missing = group.filter(([, path]) => path === '').map(([key]) => key);
    if (set.length === 0 || missing.length === 0) return [];
    return [{ keys: [...set, ...missing], message: `${set.join(' and ')} needs ${missing.join(' and ')}` }];
  });
  const dependent: readonly (readonly [key: string, value: string, needed: string, neededValue: string])[] = [
    ['tls.clientCaFile', tls.clientCaFile, 'tls.certificateFile', tls.certificateFile],
    ['tls.nodeCaFile', tls.nodeCaFile, 'tls.certificateFile', tls.certificateFile],
    ['cluster.linkServerName', cluster.linkServerName, 'cluster.linkCertificateFile', cluster.linkCertificateFile],
  ];
  for (const [key, value, needed, neededValue] of dependent) {
    if (value !== '' && neededValue === '') found.push({ keys: [key, needed], message: `${key} needs ${needed}` });
  }
  return found;
}

function grpcContradictions({ host, security, tls }: Configuration): Contradiction[] {
  if (isLoopback(host) || security.allowInsecureListen.includes('grpc')) return [];
  const isEncrypted = tls.certificateFile !== '';
  const knowsCallers = security.tokensFile !== '' || (isEncrypted && tls.clientCaFile !== '');
  if (isEncrypted && knowsCallers) return [];
  const [missing, consequence] = isEncrypted
    ? ['security.tokensFile or tls.clientCaFile', 'whoever reaches the port can read, write and delete everything']
    : knowsCallers
      ? ['tls.certificateFile', 'whoever listens on the way reads the tokens and the data']
      : [
          'tls.certificateFile and security.tokensFile',
          'there is no encryption and no authentication: whoever reaches the port can read, write and delete everything',
        ];
  return [
    {
      keys: ['host', 'security.allowInsecureListen'],
      message:
        `gRPC would listen on ${host}, which other machines reach, without ${missing}: ${consequence}. Set ${missing}, ` +
        'listen on 127.0.0.1, or add grpc to security.allowInsecureListen when the network keeps others out',
    },
  ];
}

function httpContradictions({ httpHost, security }: Configuration): Contradiction[] {
  if (isLoopback(httpHost) || security.allowInsecureListen.includes('http')) return [];
  return [
    {
      keys: ['httpHost', 'security.allowInsecureListen'],
      message:
        `HTTP would listen on ${httpHost}, which other machines reach, and is never encrypted: whoever reaches the port ` +
        'reads metrics and health. Listen on 127.0.0.1, or add http to security.allowInsecureListen',
    },
  ];
}

function linkContradictions(configuration: Configuration): Contradiction[] {
  if (hasLinkTls(configuration)) return [];
  const host = linkListenAddress(configuration)?.host;
  if (host === undefined || isLoopback(host) || configuration.security.allowInsecureListen.includes('links')) return [];
  return [
    {
      keys: ['cluster.linkHost', 'security.allowInsecureListen'],
      message:
        `links listen on ${host}, which other machines reach, without cluster.linkCertificateFile: they are neither ` +
        'encrypted nor authenticated, and whoever reaches the port can read and replace the data. Set ' +
        'cluster.linkCertificateFile, cluster.linkKeyFile and cluster.linkCaFile, listen on 127.0.0.1, or add links to ' +
        'security.allowInsecureListen when the network keeps others out',
    },
  ];
}
