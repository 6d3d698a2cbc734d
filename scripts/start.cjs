'use strict';

// `npm start`: set up, then become `logboom dev`. The node runs in this very process, so that signals reach it and its
// exit code is npm's without anything in between to pass them on (the `exec` in package.json is for the same: some shells
// stay between npm and the script otherwise, and die of a SIGTERM alone). CommonJS for the reason given in bin/logboom.cjs:
// nothing here touches libuv's thread pool.
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const setup = spawnSync(process.execPath, [path.join(__dirname, 'setup.mjs')], { stdio: 'inherit' });
if (setup.status !== 0) process.exit(setup.status ?? 1);

const launcher = path.join(__dirname, '..', 'bin', 'logboom.cjs');
process.argv.splice(1, 1, launcher, 'dev');
require(launcher);
