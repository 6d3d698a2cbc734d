/** docs/errors.md, from the registry of errors. */
import { GrpcStatus, errorRegistry } from '../base/errors.js';

const introduction = `# Errors

<!-- Made by scripts/generate-docs.ts from src/base/errors.ts; do not edit. -->

Every failed call carries a \`google.rpc.Status\` in the trailer \`grpc-status-details-bin\`, with

- a \`google.rpc.ErrorInfo\`: \`domain\` is \`logboom\`, \`reason\` is one of the below, \`metadata\` holds the facts needed to act on
  it, such as the limit that was exceeded or the next expected number;
- a \`google.rpc.RetryInfo\` exactly where the same request may be sent again; its \`retry_delay\`, where it has one, is how long to
  wait first.

A refused append of an \`AppendSession\` carries the same in its \`AppendError\`. Reasons are never renamed and never change their
meaning. "Retry" says whether the very same request can succeed when it is simply sent again. Calls that fail before the
server sees them, or that gRPC itself ends at their deadline, carry the gRPC status alone.
`;

/** \`resourceExhausted\` to \`RESOURCE_EXHAUSTED\`, the name in the specification of gRPC. */
function statusName(status: GrpcStatus): string {
  const name = Object.entries(GrpcStatus).find(([, value]) => value === status)?.[0] ?? 'UNKNOWN';
  return name.replaceAll(/([A-Z])/g, '_$1').toUpperCase();
}

/** The whole page, ending with a line feed. */
export function errorsPage(): string {
  const rows = Object.entries(errorRegistry).map(
    ([reason, { status, retryable, explanation }]) =>
      `| \`${reason}\` | ${statusName(status)} (${status}) | ${retryable ? 'yes' : 'no'} | ${explanation} |`,
  );
  return [introduction, '| reason | gRPC status | retry | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join(
    '\n',
  );
}
