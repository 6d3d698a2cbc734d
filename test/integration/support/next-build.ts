/**
 * A build of the release after this one, made from this one: it supports one more feature level, and has one more command,
 * which it writes in the place of `update-stream` once the cluster's level allows it. Whoever asks sees which one was
 * applied: the new one adds a millisecond to the retention. To a build that does not know it, it is an entry that it cannot
 * read.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryDirectory } from './temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../../..');

interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const edits: readonly Edit[] = [
  { file: 'metadata/feature-level.js', from: 'supportedFeatureLevel = 1;', to: 'supportedFeatureLevel = 2;' },
  {
    file: 'streams/commands/codec.js',
    from: 'function decoderOf(type) {',
    to: `function decoderOf(type) {
    if (type === 99) {
        const decode = (header) => {
            const command = decodeUpdateStream(header);
            return { ...command, retentionAgeMs: command.retentionAgeMs + 1 };
        };
        return { version: 1, hasPayload: false, decode };
    }`,
  },
  {
    file: 'streams/commands/codec.js',
    from: 'function headerOf(command) {',
    to: `function headerOf(command) {
    if (command.type === 'update-stream-2') return { type: 99, version: 1, fields: encodeUpdateStream(command) };`,
  },
  {
    file: 'streams/commands/codec.js',
    from: "'update-stream': 1,",
    to: "'update-stream': 1,\n    'update-stream-2': 2,",
  },
  {
    file: 'server/services/stream-service.js',
    from: 'async #propose(replica, command) {',
    to: `async #propose(replica, command) {
        if (command.type === 'update-stream' && this.#parts.featureLevel() >= 2)
            command = { ...command, type: 'update-stream-2' };`,
  },
];

/** What to spawn it with, beside the configuration. @throws Error when the code is not any more what the edits expect */
export function makeNextBuild(): readonly string[] {
  const directory = path.join(temporaryDirectory(), 'next-build');
  mkdirSync(directory);
  for (const name of ['bin', 'dist', 'proto', 'package.json']) {
    cpSync(path.join(root, name), path.join(directory, name), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  for (const { file, from, to } of edits) {
    const place = path.join(directory, 'dist', file);
    const parts = readFileSync(place, 'utf8').split(from);
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${from}`);
    writeFileSync(place, parts.join(to));
  }
  return [path.join(directory, 'bin/logboom.cjs'), 'server'];
}
