// `node --import tsx peer-process.ts <milliseconds>`: node 2, in a process of its own. Prints its port; stops after the
// time, or at SIGKILL, and ends only if nothing is left open. Its peer is itself, as node 3, which does not exist there.
import { asNodeId } from '../../../src/base/ids.js';
import { noLogger } from '../../../src/base/ports/logger.js';
import { noMetrics } from '../../../src/base/ports/metrics.js';
import { nodeEnvironmentParts } from '../../../src/server/adapters/node-environment.js';
import { Links } from '../../../src/transport/index.js';

const links = new Links(
  { ...nodeEnvironmentParts, logger: noLogger, metrics: noMetrics },
  {
    listen: { host: '127.0.0.1', port: 0 },
    host: {
      identity: () => ({ nodeId: asNodeId(2), incarnation: 'i2', clusterId: 'c1', featureLevel: 1 }),
      admit: () => undefined,
      deliver: () => {},
      onPresence: () => {},
      onUnreachable: () => {},
    },
  },
);
links.handle('echo', { kind: 'unary', access: 'members', requestBytesMax: 1000, handle: async (request) => request });
const address = await links.run();
links.setPeer(asNodeId(3), address);
console.log(address.port);
setTimeout(() => void links.stop(), Number(process.argv[2]));
