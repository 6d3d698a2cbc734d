/** X.509 certificates made for a test: as little of DER (ITU-T X.690) and RFC 5280 as that takes, signed by node:crypto. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Host names and IPv4 addresses. */
  readonly hosts?: readonly string[];
  readonly validFrom?: Date;
  readonly validTo?: Date;
}

const dayMs = 24 * 3600 * 1000;

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const bytes = length < 128 ? [] : length < 256 ? [length] : [length >> 8, length & 0xff];
  const header = bytes.length === 0 ? [tag, length] : [tag, 0x80 | bytes.length, ...bytes];
  return Buffer.concat([Buffer.from(header), content]);
}

const sequence = (...contents: readonly Uint8Array[]): Buffer => der(0x30, ...contents);
const octets = (content: Uint8Array): Buffer => der(0x04, content);
const integer = (content: Uint8Array): Buffer => der(0x02, content);
const isTrue = der(0x01, Buffer.from([0xff]));

function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

const ecdsaWithSha256 = sequence(objectId('1.2.840.10045.4.3.2'));

const nameOf = (commonName: string): Buffer =>
  sequence(der(0x31, sequence(objectId('2.5.4.3'), der(0x0c, Buffer.from(commonName)))));

/** GeneralizedTime. */
const timeOf = (date: Date): Buffer => der(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]|\.\d+/g, '')}`));

function hostName(host: string): Buffer {
  return isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host));
}

const extension = (id: string, content: Uint8Array, ...critical: readonly Uint8Array[]): Buffer =>
  sequence(objectId(id), ...critical, octets(content));

const pem = (bytes: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes)
    .toString('base64')
    .replaceAll(/.{64}/g, '$&\n')
    .trimEnd()}\n-----END CERTIFICATE-----\n`;

/** An authority that signs certificates. */
export class TestAuthority {
  /** PEM. */
  readonly certificate: string;
  readonly #name: string;
  readonly #key: KeyObject;

  constructor(name = `authority ${randomBytes(4).toString('hex')}`, options: CertificateOptions = {}) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#name = name;
    this.#key = privateKey;
    const basicConstraints = extension('2.5.29.19', sequence(isTrue), isTrue);
    this.certificate = this.#sign(name, publicKey, [basicConstraints], options);
  }

  issue(commonName: string, options: CertificateOptions = {}): IssuedCertificate {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { hosts = [] } = options;
    const alternativeNames = extension('2.5.29.17', sequence(...hosts.map(hostName)));
    return {
      certificate: this.#sign(commonName, publicKey, hosts.length === 0 ? [] : [alternativeNames], options),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
  }

  #sign(
    subject: string,
    publicKey: KeyObject,
    extensions: readonly Uint8Array[],
    { validFrom = new Date(Date.now() - dayMs), validTo = new Date(Date.now() + 365 * dayMs) }: CertificateOptions,
  ): string {
    const content = sequence(
      der(0xa0, integer(Buffer.from([2]))),
      integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      ecdsaWithSha256,
      nameOf(this.#name),
      sequence(timeOf(validFrom), timeOf(validTo)),
      nameOf(subject),
      publicKey.export({ type: 'spki', format: 'der' }),
      ...(extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))]),
    );
    const signature = der(0x03, Buffer.from([0]), sign('sha256', content, this.#key));
    return pem(sequence(content, ecdsaWithSha256, signature));
  }
}
