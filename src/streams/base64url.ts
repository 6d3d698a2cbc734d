/** Base64url (RFC 4648, section 5) without padding, for lengths that are multiples of three: one text for one value. */
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const values = new Map([...alphabet].map((letter, value) => [letter, value]));

export function encodeBase64url(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const group = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    for (let shift = 18; shift >= 0; shift -= 6) text += alphabet[(group >>> shift) & 63];
  }
  return text;
}

/** Undefined when the text is not the encoding of `length` bytes. */
export function decodeBase64url(text: string, length: number): Uint8Array | undefined {
  if (text.length !== (length / 3) * 4) return undefined;
  const bytes = new Uint8Array(length);
  for (let at = 0; at < text.length; at += 4) {
    let group = 0;
    for (let offset = 0; offset < 4; offset++) {
      const value = values.get(text[at + offset] ?? '');
      if (value === undefined) return undefined;
      group = (group << 6) | value;
    }
    const target = (at / 4) * 3;
    bytes[target] = group >>> 16;
    bytes[target + 1] = group >>> 8;
    bytes[target + 2] = group;
  }
  return bytes;
}
