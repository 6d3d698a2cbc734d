/** Names of streams: what is allowed. */
import { LogboomError } from '../base/errors.js';
import { encodeUtf8 } from '../base/bytes.js';
import { defaultStreamsLimits } from './limits.js';

/** Letters of every script (with the marks that some need), decimal digits and `. _ - / :`, a letter or digit first. */
const allowedName = /^[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}._\-/:]*$/u;

/**
 * For the leader and for clients only: apply takes a name as it comes, because what is a letter depends on the Unicode
 * version of the JavaScript engine.
 *
 * @throws LogboomError STREAM_NAME_INVALID
 */
export function validateStreamName(name: string, bytesMax = defaultStreamsLimits.streamNameBytesMax): void {
  const bytes = encodeUtf8(name).length;
  if (bytes < 1 || bytes > bytesMax) {
    throw new LogboomError(
      'STREAM_NAME_INVALID',
      `A stream name has 1 to ${bytesMax} bytes of UTF-8; this one has ${bytes}.`,
      {
        facts: { bytes, bytes_max: bytesMax },
      },
    );
  }
  if (!allowedName.test(name)) {
    throw new LogboomError(
      'STREAM_NAME_INVALID',
      `A stream name consists of letters, digits and . _ - / : and begins with a letter or digit; ${JSON.stringify(name)} does not.`,
      { facts: { name } },
    );
  }
}
