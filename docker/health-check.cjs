'use strict';

// The health check of the container image: `node health-check.cjs PATH`, where PATH is /healthz or /readyz, or a whole URL
// where HTTP listens elsewhere than the variables say. Prints the answer, which names the reasons; exit code 0 when it is
// 200, else 1. Nothing but Node's own: this runs every few seconds.
const http = require('node:http');

const answerBytesMax = 4096;
const { LOGBOOM_HTTP_HOST: host = '', LOGBOOM_HTTP_PORT: httpPort, LOGBOOM_PORT: port = '7400' } = process.env;
// What listens on all addresses is asked on loopback.
const asked = ['', '0.0.0.0', '::', '[::]'].includes(host) ? '127.0.0.1' : host.replace(/^\[(.*)\]$/, '$1');
const base = `http://${asked.includes(':') ? `[${asked}]` : asked}:${httpPort || Number(port) + 1}`;

const request = http.get(new URL(process.argv[2] ?? '/healthz', base), { timeout: 4000 }, (response) => {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (part) => (text = (text + part).slice(0, answerBytesMax)));
  response.on('end', () => {
    console.log(text.trim());
    process.exitCode = response.statusCode === 200 ? 0 : 1;
  });
});
request.on('timeout', () => request.destroy(new Error('no answer within 4 s')));
request.on('error', (error) => {
  console.log(error.message);
  process.exitCode = 1;
});
