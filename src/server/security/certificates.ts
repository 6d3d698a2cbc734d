/** Certificates and keys as files have them: PEM, checked before anybody relies on them. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { LogboomError } from '../../base/errors.js';
import type { NamedFile } from './watched-files.js';

/** What a node shows of itself: its certificate, those between it and its authority, and its key. */
export interface OwnCertificate {
  readonly chain: readonly X509Certificate[];
  /** PEM. */
  readonly certificate: Buffer;
  readonly key: Buffer;
}

const issuersMax = 10;

/** @throws LogboomError CONFIGURATION_INVALID naming the file and what to do */
export function readOwnCertificate(
  files: { readonly certificate: NamedFile; readonly key: NamedFile },
  bytes: { readonly certificate: Buffer; readonly key: Buffer },
  nowMs: number,
): OwnCertificate {
  const chain = readCertificates(files.certificate, bytes.certificate);
  const [leaf] = chain as [X509Certificate];
  requireValidity(files.certificate, leaf, nowMs);
  const key = readKey(files.key, bytes.key);
  if (!leaf.checkPrivateKey(key)) {
    throw invalid(
      files.key,
      `is not the key of the certificate in ${files.certificate.path} (${files.certificate.setting}): give the key that ` +
        'this certificate was made for, and put the certificate of the node before those of authorities',
    );
  }
  return { chain, certificate: bytes.certificate, key: bytes.key };
}

/** Certificates of authorities. One that has expired does no harm beside one that has not. */
export function readAuthorities(file: NamedFile, bytes: Buffer, nowMs: number): readonly X509Certificate[] {
  const authorities = readCertificates(file, bytes);
  if (!authorities.some((authority) => nowMs <= expiryOf(authority)))
    requireValidity(file, authorities[0] as X509Certificate, nowMs);
  return authorities;
}

/** @throws LogboomError CONFIGURATION_INVALID when the others, who trust these authorities, would refuse the certificate */
export function requireIssuedBy(
  file: NamedFile,
  own: OwnCertificate,
  authorityFile: NamedFile,
  authorities: readonly X509Certificate[],
): void {
  let current = own.chain[0] as X509Certificate;
  const issues = (issuer: X509Certificate): boolean => current.checkIssued(issuer) && current.verify(issuer.publicKey);
  for (let length = 0; length < issuersMax; length++) {
    if (authorities.some((authority) => authority.fingerprint256 === current.fingerprint256 || issues(authority)))
      return;
    const next = own.chain.slice(1).find(issues);
    if (next === undefined) break;
    current = next;
  }
  throw invalid(
    file,
    `is not signed by an authority of ${authorityFile.path} (${authorityFile.setting}), so the other nodes would refuse it`,
  );
}

export const expiryOf = (certificate: X509Certificate): number => Date.parse(certificate.validTo);

function readCertificates(file: NamedFile, bytes: Buffer): X509Certificate[] {
  const blocks = bytes.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    throw invalid(file, 'holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)');
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw invalid(
        file,
        `holds a damaged certificate: ${error instanceof Error ? error.message : String(error)}`,
        error,
      );
    }
  });
}

function readKey(file: NamedFile, bytes: Buffer): KeyObject {
  try {
    return createPrivateKey(bytes);
  } catch (error) {
    const isEncrypted = /ENCRYPTED/.test(bytes.toString('latin1'));
    throw invalid(
      file,
      isEncrypted
        ? 'is encrypted with a passphrase, which a node has nowhere to get from: give the key without one, readable for this user only'
        : 'holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)',
      error,
    );
  }
}

function requireValidity(file: NamedFile, certificate: X509Certificate, nowMs: number): void {
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), expiryOf(certificate)];
  const name = certificate.subject.replaceAll('\n', ', ');
  if (toMs < nowMs) {
    throw invalid(
      file,
      `has expired: ${name} was valid until ${new Date(toMs).toISOString()}. Put a renewed certificate in its place`,
    );
  }
  if (fromMs > nowMs) {
    throw invalid(
      file,
      `is not valid yet: ${name} is valid from ${new Date(fromMs).toISOString()}. Is the clock of this machine right?`,
    );
  }
}

function invalid({ setting, path }: NamedFile, what: string, cause?: unknown): LogboomError {
  return new LogboomError('CONFIGURATION_INVALID', `${setting}: ${path} ${what}`, {
    facts: { setting, file: path },
    cause,
  });
}
