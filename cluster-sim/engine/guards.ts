/**
 * While a simulation runs, everything real throws: timers, clocks, random numbers, files, sockets, processes, threads.
 * Lint keeps them out of the server's code already; this catches what lint does not see, such as a package.
 */
import childProcess from 'node:child_process';
import cryptoModule from 'node:crypto';
import dgram from 'node:dgram';
import dns from 'node:dns';
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import tls from 'node:tls';
import workerThreads from 'node:worker_threads';

/** Something real was used inside a simulation. */
export class RealityError extends Error {
  override readonly name = 'RealityError';
}

type Members = Record<string, unknown>;

const resolved = Promise.resolve();

interface Guarded {
  readonly name: string;
  readonly target: Members;
  readonly members: readonly string[];
}

/** What a module offers as functions, without classes: those are told by their capital letter, and may be extended. */
function functionsOf(target: Members): readonly string[] {
  return Object.keys(target).filter((name) => typeof target[name] === 'function' && /^[a-z]/.test(name));
}

const module = (name: string, target: unknown, members?: readonly string[]): Guarded => ({
  name,
  target: target as Members,
  members: members ?? functionsOf(target as Members),
});

function guardedThings(): Guarded[] {
  return [
    module('globalThis', globalThis, ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'WebSocket']),
    module('Math', Math, ['random']),
    module('Date', Date, ['now']),
    module('performance', performance, ['now']),
    module('AbortSignal', AbortSignal, ['timeout']),
    module('process', process, ['hrtime', 'nextTick', 'uptime', 'cpuUsage', 'memoryUsage']),
    module('globalThis.crypto', Object.getPrototypeOf(globalThis.crypto), ['getRandomValues', 'randomUUID']),
    module('node:crypto', cryptoModule, ['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID']),
    module('node:timers', timers),
    module('node:timers/promises', timersPromises),
    module('node:fs', fs),
    module('node:fs/promises', fsPromises),
    module('node:net', net, ['connect', 'createConnection', 'createServer', 'Socket', 'Server']),
    module('node:tls', tls, ['connect', 'createServer']),
    module('node:dgram', dgram, ['createSocket']),
    module('node:dns', dns, ['lookup', 'resolve', 'resolve4', 'resolve6']),
    module('node:http', http, ['request', 'get', 'createServer']),
    module('node:https', https, ['request', 'get', 'createServer']),
    module('node:child_process', childProcess),
    module('node:worker_threads', workerThreads, ['Worker']),
  ];
}

function refusal(name: string): () => never {
  return () => {
    throw new RealityError(`${name} was used inside a simulation: take it from the ports in src/base/ports`);
  };
}

/** `new Date(timeMs)` only formats a simulated time; without arguments it reads the real clock. */
function guardedDate(real: DateConstructor): DateConstructor {
  return new Proxy(real, {
    construct: (target, args: unknown[]) =>
      args.length === 0 ? refusal('new Date()')() : (Reflect.construct(target, args) as object),
    apply: refusal('Date()'),
  });
}

/** Runs `simulation`, synchronous as it is, with everything real forbidden. */
export function withoutReality<Result>(simulation: () => Result): Result {
  const restores: (() => void)[] = [];
  const replace = (target: Members, member: string, value: unknown): void => {
    const own = Object.getOwnPropertyDescriptor(target, member);
    if (own?.configurable === false) return;
    Object.defineProperty(target, member, {
      value,
      configurable: true,
      enumerable: own?.enumerable ?? true,
      writable: true,
    });
    restores.push(() => {
      if (own === undefined) Reflect.deleteProperty(target, member);
      else Object.defineProperty(target, member, own);
    });
  };
  try {
    for (const { name, target, members } of guardedThings()) {
      for (const member of members) replace(target, member, refusal(`${name}.${member}`));
    }
    replace(globalThis, 'Date', guardedDate(Date));
    // As good as the real one, which makes an asynchronous resource of each callback: a twelfth of a run's time.
    replace(globalThis, 'queueMicrotask', (callback: () => void) => void resolved.then(callback));
    syncBuiltinESMExports();
    return simulation();
  } finally {
    for (const restore of restores.reverse()) restore();
    syncBuiltinESMExports();
  }
}
