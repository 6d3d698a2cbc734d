import type { X509Certificate } from 'node:crypto';
import { LogboomError } from '../../base/errors.js';
import type { Hello } from '../identity.js';
import type { LinkTls } from '../types.js';

/** Whether a certificate is one for a host name or IP address (RFC 6125: alternative names only, never the subject). */
export function isCertifiedFor(certificate: X509Certificate, host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  try {
    const isIp = /^\d+(\.\d+){3}$/.test(bare) || bare.includes(':');
    return (isIp ? certificate.checkIP(bare) : certificate.checkHost(bare, { subject: 'never' })) !== undefined;
  } catch {
    // It is neither an IP address nor a host name, and so no certificate is for it.
    return false;
  }
}

/**
 * Why whoever shows the certificate is not taken for the node that it says it is; undefined when it is. That an authority
 * signed it was checked before, and is not enough: authorities sign certificates of clients and of other services too.
 */
export function certificateRefusal(
  { namesOf }: LinkTls,
  certificate: X509Certificate | undefined,
  { nodeId }: Hello,
): LogboomError | undefined {
  const names = namesOf(nodeId);
  if (certificate !== undefined && names.some((name) => isCertifiedFor(certificate, name))) return undefined;
  const shown = certificate?.subjectAltName ?? 'without a name';
  const who = nodeId === undefined ? 'any node' : `node ${nodeId}`;
  return new LogboomError(
    'NODE_CERTIFICATE_MISMATCH',
    `the certificate (${shown}) is not one of ${who}: it must be for ${names.join(' or ') || 'a node that is known here'}`,
    { facts: { node: nodeId ?? '', names: names.join(','), certified: shown } },
  );
}
