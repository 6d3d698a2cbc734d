/**
 * Made with OpenSSL, valid for a hundred years: a node's certificate, for node.logboom.test and 127.0.0.1, of each of two
 * authorities.
 */
import { readFileSync } from 'node:fs';
import type { LinkTls } from '../../../src/transport/index.js';

const file = (name: string): Uint8Array => readFileSync(new URL(`../certificates/${name}`, import.meta.url));

export const tlsOf = (owner: 'cluster' | 'stranger'): LinkTls => ({
  certificate: file(`${owner}-node.pem`),
  key: file(`${owner}-node.key`),
  certificateAuthority: file(`${owner}-ca.pem`),
  namesOf: () => ['127.0.0.1'],
});
