/** Addresses and what goes wrong with them. */
import { hostname } from 'node:os';
import { LogboomError } from '../base/errors.js';

/** `127.0.0.1:7400`, `[::1]:7400` */
export function formatAddress(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare.includes(':') ? `[${bare}]:${port}` : `${bare}:${port}`;
}

/** Where others reach a node that listens there. */
export function reachableAddress(host: string, port: number): string {
  const everywhere = ['0.0.0.0', '::', '[::]'].includes(host);
  return formatAddress(everywhere ? hostname() : host, port);
}

/** The error of a failed bind, naming the setting that changes the address. */
export function listenError(error: unknown, address: string, setting: 'port' | 'httpPort'): LogboomError {
  const detail = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const facts = { address, setting };
  if (code === 'EADDRINUSE' || detail.includes('EADDRINUSE')) {
    return new LogboomError(
      'ADDRESS_IN_USE',
      `${address} is in use by another process: stop it, or set ${setting} to another port`,
      {
        facts,
        cause: error,
      },
    );
  }
  return new LogboomError(
    'CONFIGURATION_INVALID',
    `cannot listen on ${address}: ${detail}; change ${setting === 'port' ? 'host' : 'httpHost'} or ${setting}`,
    {
      facts,
      cause: error,
    },
  );
}
