/**
 * {@link ObjectStore} in a bucket of S3, or of a store that speaks its protocol and has put-if-absent (`If-None-Match: *`)
 * for PutObject and CompleteMultipartUpload. This file loads the SDK: import it only where one is used.
 *
 * A put whose answer was lost is sent again and then finds its own object: it answers `exists`, which is true. The CRC-32
 * of the content travels as metadata of the object and is checked by every get; the SDK and the store check what is sent.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  type CompletedPart,
  type GetObjectCommandOutput,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { Clock } from '../base/ports/clock.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { Random } from '../base/ports/random.js';
import { Attempts, type AttemptLimits, type Failure } from './attempts.js';
import type { S3Location } from './location.js';
import { checkListLimit, checkNameBeginning, checkObjectName, isObjectName } from './names.js';
import { joined, pieces, totalBytes } from './parts.js';
import { describeS3Error, meaningOfS3Error, type S3ErrorMeaning } from './s3-errors.js';
import {
  isObjectStoreError,
  ObjectStoreError,
  type ObjectEntry,
  type ObjectOptions,
  type ObjectStore,
} from './types.js';

const checksumKey = 'logboom-crc32';
/** Both are limits of S3. */
const namesAPage = 1000;
const namesADeletion = 1000;
/** S3 refuses smaller parts, but for the last. */
const partBytesMin = 5 * 1024 * 1024;

export interface S3Limits extends AttemptLimits {
  readonly connectTimeoutMs: number;
  /** Objects up to this size go up in one request, larger ones in parts of it. 5 MiB or more. */
  readonly partBytes: number;
}

export const defaultS3Limits: S3Limits = {
  connectTimeoutMs: 5_000,
  attemptTimeoutMs: 30_000,
  overallTimeoutMs: 120_000,
  attemptsMax: 5,
  backoffMsMin: 100,
  backoffMsMax: 5_000,
  partBytes: 8 * 1024 * 1024,
};

export interface S3Options {
  readonly location: S3Location;
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly limits?: Partial<S3Limits>;
  /** Anything else for the client of the SDK. Without `credentials` the SDK's usual chain finds them. */
  readonly client?: S3ClientConfig;
}

export class S3ObjectStore implements ObjectStore {
  readonly description: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  /** What every key begins with: empty, or with a `/` at its end. */
  readonly #above: string;
  readonly #options: S3Options;
  readonly #limits: S3Limits;
  readonly #multipartAboveBytes: number;

  constructor(options: S3Options, client = makeClient(options), multipartAboveBytes?: number) {
    const { bucket, prefix } = options.location;
    this.#limits = { ...defaultS3Limits, ...options.limits };
    if (this.#limits.partBytes < partBytesMin)
      throw new ObjectStoreError('INVALID', `partBytes is ${this.#limits.partBytes}, below the ${partBytesMin} of S3.`);
    this.description = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.#client = client;
    this.#bucket = bucket;
    this.#above = prefix === '' ? '' : `${prefix}/`;
    this.#options = options;
    this.#multipartAboveBytes = multipartAboveBytes ?? this.#limits.partBytes;
  }

  /** The same store, which sends objects of any size but empty ones in parts: those have a put-if-absent of their own. */
  inParts(): S3ObjectStore {
    return new S3ObjectStore(this.#options, this.#client, 0);
  }

  async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    { signal }: ObjectOptions = {},
  ): Promise<'created' | 'exists'> {
    const attempts = this.#begin(signal);
    checkObjectName(name);
    const metadata = { [checksumKey]: this.#checksum(parts) };
    if (totalBytes(parts) > this.#multipartAboveBytes) return this.#putInParts(attempts, name, parts, metadata);
    return this.#putWhole(attempts, name, joined(parts), metadata);
  }

  async get(name: string, { signal, bytesMax }: ObjectOptions & { readonly bytesMax: number }): Promise<Uint8Array> {
    const attempts = this.#begin(signal);
    checkObjectName(name);
    return attempts.run(
      async (abortSignal) => {
        const command = new GetObjectCommand(this.#object(name));
        const answer = await this.#client.send(command, { abortSignal });
        const bytes = await this.#readBody(answer, name, bytesMax, abortSignal);
        this.#checkContent(name, bytes, answer);
        return bytes;
      },
      (error) => this.#judge(`get ${name}`, error),
    );
  }

  async list(
    prefix: string,
    { signal, after = '', limit }: ObjectOptions & { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]> {
    const attempts = this.#begin(signal);
    checkNameBeginning('prefix', prefix);
    checkNameBeginning('after', after);
    checkListLimit(limit);
    const entries: ObjectEntry[] = [];
    let continuation: string | undefined;
    do {
      const page = await attempts.run(
        (abortSignal) =>
          this.#client.send(
            new ListObjectsV2Command({
              Bucket: this.#bucket,
              Prefix: this.#above + prefix,
              MaxKeys: Math.min(limit - entries.length, namesAPage),
              ...(continuation === undefined ? {} : { ContinuationToken: continuation }),
              ...(after === '' ? {} : { StartAfter: this.#above + after }),
            }),
            { abortSignal },
          ),
        (error) => this.#judge(`list ${prefix}`, error),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const name = Key.slice(this.#above.length);
        // What others put into the bucket is no object of ours.
        if (isObjectName(name)) entries.push({ name, bytes: Size, modifiedUnixMs: LastModified?.getTime() ?? 0 });
      }
      continuation = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (continuation !== undefined && entries.length < limit);
    return entries;
  }

  async delete(names: readonly string[], { signal }: ObjectOptions = {}): Promise<void> {
    const attempts = this.#begin(signal);
    for (const name of names) checkObjectName(name);
    for (let at = 0; at < names.length; at += namesADeletion) {
      const Objects = names.slice(at, at + namesADeletion).map((name) => ({ Key: this.#above + name }));
      const what = `delete ${names[at]}${Objects.length > 1 ? ` and ${Objects.length - 1} more` : ''}`;
      await attempts.run(
        async (abortSignal) => {
          const command = new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } });
          const { Errors = [] } = await this.#client.send(command, { abortSignal });
          const failed = Errors.find(({ Code }) => Code !== 'NoSuchKey');
          if (failed === undefined) return;
          throw Object.assign(new Error(`${failed.Key}: ${failed.Message}`), { name: failed.Code ?? 'Error' });
        },
        (error) => this.#judge(what, error),
      );
    }
  }

  close(): Promise<void> {
    this.#client.destroy();
    return Promise.resolve();
  }

  #begin(signal: AbortSignal | undefined): Attempts {
    signal?.throwIfAborted();
    return new Attempts({ ...this.#options, limits: this.#limits, signal });
  }

  async #putWhole(
    attempts: Attempts,
    name: string,
    bytes: Uint8Array,
    metadata: Record<string, string>,
  ): Promise<'created' | 'exists'> {
    return attempts.run(
      async (abortSignal) => {
        const command = new PutObjectCommand({
          ...this.#object(name),
          Body: bytes,
          ContentLength: bytes.length,
          ContentType: contentType,
          IfNoneMatch: '*',
          Metadata: metadata,
        });
        return unlessExists(this.#client.send(command, { abortSignal }));
      },
      (error) => this.#judge(`put ${name}`, error),
    );
  }

  /**
   * The condition is judged at the end, so an object that is there already is looked for first. An upload that met others
   * who wrote at the same time, or that is not known any more (it may have been completed, and the answer lost), begins anew.
   */
  async #putInParts(
    attempts: Attempts,
    name: string,
    parts: readonly Uint8Array[],
    metadata: Record<string, string>,
  ): Promise<'created' | 'exists'> {
    for (let upload = 1; ; upload++) {
      if (await this.#isThere(attempts, name)) return 'exists';
      const uploadId = await this.#beginUpload(attempts, name, metadata);
      let completed = false;
      try {
        const uploaded: CompletedPart[] = [];
        for (const piece of pieces(parts, this.#limits.partBytes))
          uploaded.push(await this.#uploadPart(attempts, { name, uploadId, number: uploaded.length + 1, piece }));
        const outcome = await this.#completeUpload(attempts, { name, uploadId, uploaded });
        completed = outcome === 'created';
        if (outcome !== 'conflict') return outcome;
      } finally {
        // Without this its parts stay, and are paid for, unseen.
        if (!completed) await this.#abortUpload(name, uploadId);
      }
      if (upload >= this.#limits.attemptsMax)
        throw new ObjectStoreError(
          'UNAVAILABLE',
          `${this.description}: put ${name}: others write it at the same time, ${upload} times in a row`,
        );
    }
  }

  #isThere(attempts: Attempts, name: string): Promise<boolean> {
    return attempts.run(
      async (abortSignal) => {
        try {
          await this.#client.send(new HeadObjectCommand(this.#object(name)), { abortSignal });
          return true;
        } catch (error) {
          if (meaningOf(error).code === 'NOT_FOUND') return false;
          throw error;
        }
      },
      (error) => this.#judge(`look for ${name}`, error),
    );
  }

  #beginUpload(attempts: Attempts, name: string, Metadata: Record<string, string>): Promise<string> {
    return attempts.run(
      async (abortSignal) => {
        const command = new CreateMultipartUploadCommand({
          ...this.#object(name),
          ContentType: contentType,
          ChecksumAlgorithm: 'CRC32',
          Metadata,
        });
        const { UploadId } = await this.#client.send(command, { abortSignal });
        if (UploadId === undefined) throw new Error('the store began an upload without a name for it');
        return UploadId;
      },
      (error) => this.#judge(`begin the upload of ${name}`, error),
    );
  }

  #uploadPart(
    attempts: Attempts,
    part: {
      readonly name: string;
      readonly uploadId: string;
      readonly number: number;
      readonly piece: readonly Uint8Array[];
    },
  ): Promise<CompletedPart> {
    const Body = joined(part.piece);
    return attempts.run(
      async (abortSignal) => {
        const command = new UploadPartCommand({
          ...this.#object(part.name),
          UploadId: part.uploadId,
          PartNumber: part.number,
          ChecksumAlgorithm: 'CRC32',
          Body,
          ContentLength: Body.length,
        });
        const { ETag, ChecksumCRC32 } = await this.#client.send(command, { abortSignal });
        if (ETag === undefined) throw new Error('the store took a part without a name for it');
        return { PartNumber: part.number, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) };
      },
      (error) => this.#judge(`upload part ${part.number} of ${part.name}`, error),
    );
  }

  #completeUpload(
    attempts: Attempts,
    upload: { readonly name: string; readonly uploadId: string; readonly uploaded: CompletedPart[] },
  ): Promise<'created' | 'exists' | 'conflict'> {
    return attempts.run(
      async (abortSignal) => {
        const command = new CompleteMultipartUploadCommand({
          ...this.#object(upload.name),
          UploadId: upload.uploadId,
          MultipartUpload: { Parts: upload.uploaded },
          IfNoneMatch: '*',
        });
        try {
          return await unlessExists(this.#client.send(command, { abortSignal }));
        } catch (error) {
          const { codes } = describeS3Error(error);
          if (uploadConflicts.some((code) => codes.includes(code))) return 'conflict';
          throw error;
        }
      },
      (error) => this.#judge(`complete the upload of ${upload.name}`, error),
    );
  }

  /** In a time of its own: the caller's may be over. What fails here is left to the bucket's rule for incomplete uploads. */
  async #abortUpload(name: string, UploadId: string): Promise<void> {
    const { attemptTimeoutMs } = this.#limits;
    const limits = { ...this.#limits, overallTimeoutMs: attemptTimeoutMs, attemptsMax: 2 };
    const command = new AbortMultipartUploadCommand({ ...this.#object(name), UploadId });
    await new Attempts({ ...this.#options, limits, signal: undefined })
      .run(
        (abortSignal) => this.#client.send(command, { abortSignal }),
        (error) => this.#judge(`abort the upload of ${name}`, error),
      )
      .catch(() => {});
  }

  async #readBody(
    answer: GetObjectCommandOutput,
    name: string,
    bytesMax: number,
    abortSignal: AbortSignal,
  ): Promise<Uint8Array> {
    const body = answer.Body as unknown as SocketBody;
    const abort = (): void => void body.destroy(abortSignal.reason as Error);
    abortSignal.addEventListener('abort', abort, { once: true });
    try {
      let length = answer.ContentLength ?? 0;
      const parts: Uint8Array[] = [];
      // Also an answer without a length, or with a wrong one, takes no more memory than the caller allows.
      if (length <= bytesMax) {
        length = 0;
        for await (const part of body) {
          length += part.length;
          if (length > bytesMax) break;
          parts.push(part);
        }
      }
      if (length > bytesMax)
        throw new ObjectStoreError(
          'TOO_LARGE',
          `${this.description}: ${name} has ${length} or more bytes, more than ${bytesMax}.`,
        );
      return parts.length === 1 ? Uint8Array.from(parts[0] as Uint8Array) : joined(parts);
    } finally {
      abortSignal.removeEventListener('abort', abort);
      body.destroy();
    }
  }

  /** Sent again when it fails: what is wrong on the way may be right the next time. */
  #checkContent(name: string, bytes: Uint8Array, { ContentLength, Metadata }: GetObjectCommandOutput): void {
    if (ContentLength !== undefined && ContentLength !== bytes.length)
      throw new ObjectStoreError('CORRUPT', `${bytes.length} bytes of ${name} arrived instead of ${ContentLength}`);
    const stored = Metadata?.[checksumKey];
    const computed = this.#checksum([bytes]);
    // An object that another tool copied here may have lost it.
    if (stored === undefined || stored === computed) return;
    throw new ObjectStoreError('CORRUPT', `the bytes of ${name} have the CRC-32 ${computed}, not the stored ${stored}`);
  }

  #checksum(parts: readonly Uint8Array[]): string {
    let checksum = 0;
    for (const part of parts) checksum = this.#options.crc32(part, checksum);
    return checksum.toString(16).padStart(8, '0');
  }

  #object(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#above + name };
  }

  #judge(what: string, error: unknown): Failure {
    if (isObjectStoreError(error)) {
      const passes = error.code === 'UNAVAILABLE' || error.code === 'CORRUPT';
      if (!passes) return { error, passes };
      return { error: new ObjectStoreError(error.code, `${this.description}: ${what}: ${error.message}`), passes };
    }
    const { codes, status, message } = describeS3Error(error);
    const { code, passes, advice } = meaningOf(error);
    const said = [...codes, ...(status === undefined ? [] : [`HTTP ${status}`])].join(', ');
    const text = `${this.description}: ${what}: ${message}${said === '' ? '' : ` (${said})`}`;
    return { error: new ObjectStoreError(code, advice === undefined ? text : `${text}; ${advice}`), passes };
  }
}

const contentType = 'application/octet-stream';

/** What the SDK hands out on Node: the readable stream of the answer. */
interface SocketBody extends AsyncIterable<Uint8Array> {
  destroy(error?: Error): unknown;
}

/** After these the same completion cannot succeed any more; another upload can. */
const uploadConflicts = ['NoSuchUpload', 'ConditionalRequestConflict', 'OperationAborted'];

function meaningOf(error: unknown): S3ErrorMeaning {
  const { codes, status } = describeS3Error(error);
  return meaningOfS3Error(codes, status);
}

async function unlessExists(sent: Promise<unknown>): Promise<'created' | 'exists'> {
  try {
    await sent;
    return 'created';
  } catch (error) {
    if (describeS3Error(error).status === 412) return 'exists';
    throw error;
  }
}

function makeClient({ location, limits, client }: S3Options): S3Client {
  const { region, endpoint, pathStyle } = location;
  const connectionTimeout = limits?.connectTimeoutMs ?? defaultS3Limits.connectTimeoutMs;
  return new S3Client({
    // Stores other than S3 mostly have one region, and want a name for it all the same.
    ...(region !== undefined ? { region } : endpoint !== undefined ? { region: 'us-east-1' } : {}),
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: pathStyle,
    // Attempts are counted, timed and drawn by lots here.
    maxAttempts: 1,
    requestHandler: { connectionTimeout },
    // Contents are checked here; the SDK would stand between the body and the socket.
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...client,
  });
}
