import { toServiceError } from './errors.js';
import type { ServerInterceptor, ServerInterceptingCallInterface as ServerCall } from '@grpc/grpc-js';
import type { CallGate } from '../security/gate.js';

/** Of load balancers and supervisors, which have no token; it tells whether the node serves, and nothing else. */
const openService = '/grpc.health.v1.Health/';

/**
 * Turns away calls without a valid token before anything of their requests is read: what strangers send must not fill the
 * memory of the node. Reflection, which has no rights of its own, is for everybody who passes here.
 */
export function turnAwayStrangers(gate: CallGate): ServerInterceptor {
  const intercept = ({ path }: { readonly path: string }, call: ServerCall): ServerCall => {
    if (path.startsWith(openService)) return call;
    const method = path.slice(path.lastIndexOf('/') + 1);
    const start = call.start.bind(call);
    // In place of the call's own, and not a call around it, which every message of a session would pass through.
    call.start = (listener): void =>
      start({
        onReceiveMetadata: (metadata) => {
          const refusal = gate.refusalOf(method, metadata.get('authorization')[0]?.toString());
          if (refusal === undefined) listener.onReceiveMetadata(metadata);
          else call.sendStatus(toServiceError(refusal));
        },
        onReceiveMessage: (message) => listener.onReceiveMessage(message),
        onReceiveHalfClose: () => listener.onReceiveHalfClose(),
        onCancel: () => listener.onCancel(),
      });
    return call;
  };
  // grpc-js asks for the class of calls around calls, and uses the interface.
  return intercept as unknown as ServerInterceptor;
}
