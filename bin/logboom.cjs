#!/usr/bin/env node
'use strict';

// CommonJS, and in the oldest syntax, on purpose: all of this must run before the first use of libuv's thread pool, which
// loading an ES module already is, and an outdated Node must get as far as the message about its version.

// The pool's size is read once, at its first use. LevelDB's pending flushes and compactions each occupy a thread of it,
// and the write-ahead log's fdatasync waits in the same queue: with the default of 4 threads it was seen to take ten
// times as long as with 16.
if (!process.env.UV_THREADPOOL_SIZE) process.env.UV_THREADPOOL_SIZE = '16';

// Record bytes live outside V8's heap but count towards its limits: with a live heap of about 25 MB, V8 runs a full
// collection for every 20 MB of them, ten a second at 50 MB/s, which took a third of the main thread. At four times the
// live heap it takes 64 MB (docs/decisions/0003-heap-growing-percent.md).
require('node:v8').setFlagsFromString('--heap-growing-percent=300');

var version = process.versions.node.split('.').map(Number);
if (version[0] < 20 || (version[0] === 20 && version[1] < 15)) {
  console.error(
    'logboom needs Node.js 20.15 or newer; this is ' + process.versions.node + ' (' + process.execPath + ').',
  );
  process.exit(1);
}

var path = require('node:path');
var main = path.join(__dirname, '..', 'dist', 'cli', 'main.js');
if (!require('node:fs').existsSync(main)) {
  console.error('logboom is not built: ' + main + ' does not exist. Run `npm run build` first.');
  process.exit(1);
}

process.setSourceMapsEnabled(true);

// Words for developers: grpc-js names the host in the TLS handshake also where it is an IP address (DEP0123).
process.noDeprecation = true;

import(require('node:url').pathToFileURL(main).href).catch(function (error) {
  console.error(error);
  process.exit(1);
});
