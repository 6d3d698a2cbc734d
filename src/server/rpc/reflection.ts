/** Server reflection: for whoever has a valid token, where calls need one. It tells what is in the proto files, and no more. */
import { ReflectionService } from '@grpc/reflection';
import { isLogboomError } from '../../base/errors.js';
import { reflectedDefinition } from './definitions.js';
import { toServiceError } from './errors.js';
import type { Server, ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { CallGate } from '../security/gate.js';

type Handler = (call: ServerDuplexStream<unknown, unknown>) => void;

export function guardedReflection(gate: CallGate, server: Pick<Server, 'addService'>): void {
  new ReflectionService(reflectedDefinition).addToServer({
    addService: (service, implementation) => server.addService(service, guarded(gate, implementation)),
  });
}

function guarded(gate: CallGate, implementation: UntypedServiceImplementation): UntypedServiceImplementation {
  const entries = Object.entries(implementation).map(([name, handle]): [string, Handler] => [
    name,
    (call) => {
      try {
        const fail = (error: Error): void => void call.emit('error', error);
        const authorization = call.metadata.get('authorization')[0]?.toString();
        const caller = gate.enter('ServerReflectionInfo', authorization, (error) => fail(toServiceError(error)));
        call.once('cancelled', () => caller.leave());
      } catch (error) {
        if (!isLogboomError(error)) throw error;
        call.emit('error', toServiceError(error));
        return;
      }
      (handle as Handler)(call);
    },
  ]);
  return Object.fromEntries(entries) as UntypedServiceImplementation;
}
