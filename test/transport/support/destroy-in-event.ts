/** A process that ends a session from within the event of a stream that its peer reset, while others have bytes to write. */
import { constants, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { resolveLinkOptions } from '../../../src/transport/options.js';
import { openSession } from '../../../src/transport/http2/sessions.js';
import type { LinkParts } from '../../../src/transport/types.js';

const server = createServer();
const accepted: ServerHttp2Stream[] = [];
server.on('stream', (stream) => {
  stream.on('error', () => {});
  stream.respond();
  stream.resume();
  accepted.push(stream);
  if (accepted.length === 3) accepted[0]?.close(constants.NGHTTP2_NO_ERROR);
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const parts = { options: resolveLinkOptions({}), tls: undefined } as unknown as LinkParts;
  const { session, destroy } = openSession(parts, { host: '127.0.0.1', port });
  session.on('error', () => {});
  const streams = [0, 1, 2].map(() => session.request({ ':method': 'POST', ':path': '/' }, { endStream: false }));
  for (const stream of streams) stream.on('error', () => {}).resume();
  streams[0]?.on('close', () => {
    streams[1]?.write(Buffer.alloc(100));
    streams[2]?.write(Buffer.alloc(1_000_000));
    destroy();
  });
  session.on('close', () => process.exit(0));
});
