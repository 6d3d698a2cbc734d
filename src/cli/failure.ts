// Not through the client's index: a help text needs no gRPC.
import { isLogboomError } from '../base/errors.js';
import { isClientError } from '../client/errors.js';

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** The command failed for a reason that the command line found: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly reason: string;
  readonly hint: string | undefined;

  constructor(reason: string, message: string, hint?: string) {
    super(message);
    this.reason = reason;
    this.hint = hint;
  }
}

export const exitCode = { done: 0, failed: 1, usage: 2 } as const;

/** What to do next, by reason. */
const hints: Readonly<Record<string, string>> = {
  STREAM_NOT_FOUND: 'See `logboom stream list`, or make it with `logboom stream create NAME`.',
  STREAM_ALREADY_EXISTS: 'Use --if-not-exists to take the existing one, or `logboom stream update` to change it.',
  STREAM_NAME_INVALID: 'Names are 1 to 255 letters, digits and . _ - / : and begin with a letter or digit.',
  RECORD_TRIMMED:
    'Retention has deleted that part. Read without --from and --page-token to begin at the oldest record.',
  SEQ_BEYOND_END: 'See `logboom stream describe NAME` for the positions, or follow new records with `logboom tail`.',
  PAGE_TOKEN_INVALID: 'Use a token exactly as it was printed, or read without one.',
  PAGE_TOKEN_WRONG_DIRECTION: 'Continue with the direction the token was made for: add or drop --reverse.',
  PAGE_TOKEN_WRONG_STREAM: 'Use the token with the stream it was printed for.',
  PRODUCER_CONFLICT: 'The producer id was used for other content. Take another --producer ID for this file.',
  PRODUCER_OVERLAP: 'Another process appends with this producer id. Let one finish, then run this again.',
  PRODUCER_NOT_FOUND: 'Leave --same-producer out to see the records around it in the stream.',
  PRODUCER_FENCED: 'Another process took over this producer id. Only one at a time can append with it.',
  FENCING_TOKEN_MISMATCH: 'Give the stream’s token with --fencing-token; `logboom stream describe` shows it.',
  SEQ_MISMATCH: 'Something else appended in between. See `logboom stream describe NAME` for the position.',
  NOT_LEADER: 'An election takes about a second: try again, and see `logboom cluster status` if this stays.',
  LEADERSHIP_LOST: 'Run the command again; see `logboom cluster status` if this stays.',
  NODE_HAS_NO_REPLICA: 'See `logboom partition list` for the nodes that have one.',
  REPLICA_IS_LEARNER: 'It votes when it has caught up: see `logboom cluster status`, and try again.',
  REPLICA_NOT_ANSWERING: 'See `logboom cluster status`; try again when the node is back, or take another one.',
  REPLICA_BEHIND: 'See `logboom cluster status` for how far it is, and try again, or take another node.',
  TRANSFER_FAILED: 'Nothing is lost: see `logboom partition list` for who leads, and try again.',
  QUEUE_FULL: 'The server is busy; try again.',
  DISK_FULL: 'Free space on the server’s disk, or delete streams; appends go on by themselves when there is room.',
  DATA_CORRUPT: 'Run `logboom partition verify` to see what is damaged, and see the server’s log.',
  PARTITION_STOPPED: 'See `logboom status` and the server’s log for the fault.',
  NODE_NOT_FOUND: 'See `logboom cluster status` for the nodes, and for those that wait.',
  NODE_HAS_REPLICAS: 'Empty it first: `logboom cluster drain NODE --wait`.',
  REPLICATION_FACTOR_TOO_HIGH: 'Let another node join first, or lower it: `logboom cluster set replication-factor N`.',
  QUORUM_WOULD_BE_LOST: 'See `logboom cluster status`: bring other nodes back first.',
  PLACEMENT_IN_PROGRESS: 'One replica of a partition moves at a time: see `logboom cluster status`, and try again.',
  CLUSTER_NOT_FORMED: 'This is for clusters; see docs/cluster.md.',
  PARTITION_NOT_FOUND: 'See `logboom partition list`.',
  REPOSITORY_NOT_CONFIGURED:
    'Set snapshots.repository on every node, to one place that all of them see; see docs/snapshots.md.',
  REPOSITORY_UNAVAILABLE: 'It is tried again by itself. See docs/object-storage.md, and the log of the node.',
  REPOSITORY_REFUSED: 'See docs/object-storage.md for permissions and for what a store must be able to do.',
  SNAPSHOT_NOT_CONFIRMED:
    'A majority of the replicas must have applied the LSN of the snapshot: see `logboom cluster status`, and try again.',
  SNAPSHOT_EXPIRED:
    'Run it again: what was uploaded is used. See snapshots.bytesPerSecond and snapshots.collectGraceMs.',
  SNAPSHOT_NOT_FOUND: 'See `logboom snapshot list`, or take one with `logboom snapshot create`.',
  SNAPSHOT_CORRUPT: 'Take another one with `logboom snapshot create`; see docs/recovery.md.',
  STATE_DIVERGED:
    'In a cluster it is made anew by itself: see `logboom cluster status`, and docs/recovery.md for the cause.',
  STATE_DISPUTED: 'Keep all data directories, and see docs/recovery.md.',
  TOKEN_MISSING: 'Give a token with --token-file FILE or LOGBOOM_TOKEN; `logboom token create` makes one.',
  TOKEN_INVALID: 'Is it the right token, and does the tokens file of every node have it? See docs/security.md.',
  TOKEN_EXPIRED: 'Ask for a new token; `logboom token create` makes one.',
  PERMISSION_DENIED: 'Use another token, or add the right to this one in the tokens file of every node.',
  DEADLINE_EXCEEDED: 'The server is slow or stuck: see `logboom status`, or allow more with --deadline.',
  UNREACHABLE:
    'Start a node with `logboom dev`, or name another one with --address HOST:PORT or LOGBOOM_ADDRESS. With TLS: --tls-ca.',
  CERTIFICATE:
    'See docs/security.md: --tls-ca FILE, and the name in the certificate; a server without TLS needs no --tls.',
  CONNECTION_LOST: 'The server went away. Run the command again; an append with --producer continues where it was.',
  PROTOCOL: 'Is that address a Logboom gRPC port? The HTTP port is one higher.',
  REFUSED: 'Is that address a Logboom gRPC port? The HTTP port is one higher.',
  OUTCOME_UNKNOWN: 'Use --producer ID: then the append can simply be run again.',
  ADDRESS_IN_USE: 'Another node may be running already: see `logboom status`, or choose another --port.',
  DATA_DIRECTORY_LOCKED: 'Another node runs on this directory: stop it, or choose another with --data-dir.',
  WAL_CORRUPT: 'Copy the directory before anything else; see docs/operations.md.',
  STATE_STORE_CORRUPT: 'Copy the directory before anything else; see docs/operations.md.',
  CONFIGURATION_INVALID: 'See `logboom server --help` for the settings, or docs/configuration.md.',
};

interface Failure {
  readonly reason: string;
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number>>;
  readonly hint: string | undefined;
}

/** An error in the words of the command line. */
export function describeFailure(error: unknown): Failure {
  if (isLogboomError(error))
    return { reason: error.reason, message: error.message, facts: error.facts, hint: hints[error.reason] };
  if (isClientError(error)) {
    // The words of HTTP/2 for a peer that speaks something else.
    const isTls = /certificate|\bssl|\btls|wrong version number|alert/i.test(error.message);
    const code = /protocol error/i.test(error.message) ? 'PROTOCOL' : isTls ? 'CERTIFICATE' : error.code;
    return { reason: error.code, message: error.message, facts: {}, hint: hints[code] };
  }
  if (error instanceof UsageError) return { reason: 'USAGE', message: error.message, facts: {}, hint: error.hint };
  if (error instanceof CommandError)
    return { reason: error.reason, message: error.message, facts: {}, hint: error.hint ?? hints[error.reason] };
  const { message, code } = error as NodeJS.ErrnoException;
  const fileProblem = describeFileProblem(error);
  if (fileProblem !== undefined) return { reason: code ?? '', message: fileProblem, facts: {}, hint: undefined };
  return { reason: code ?? 'INTERNAL', message: message ?? String(error), facts: {}, hint: undefined };
}

const fileProblems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it is not readable for this user',
  EPERM: 'it is not readable for this user',
  EISDIR: 'it is a directory',
  EMFILE: 'too many files are open',
};

/** A file that cannot be read, in words; undefined for any other error. */
export function describeFileProblem(error: unknown): string | undefined {
  const { code, path } = error as NodeJS.ErrnoException;
  const problem = code === undefined || path === undefined ? undefined : fileProblems[code];
  return problem === undefined ? undefined : `${problem}: ${path}`;
}

/** `error: ... (REASON)`, on one line, and a second one with what to do next. */
export function failureText(error: unknown): string {
  const { reason, message, hint } = describeFailure(error);
  const oneLine = reason === 'CONFIGURATION_INVALID' ? message : message.replace(/\s*\n\s*/g, ' ');
  const end = reason === 'USAGE' ? '' : ` (${reason})`;
  return `error: ${oneLine.replace(/\.$/, '')}${end}\n${hint === undefined ? '' : `${hint}\n`}`;
}

/** The same for `--output json`, on standard error. */
export function failureJson(error: unknown): string {
  const { reason, message, facts, hint } = describeFailure(error);
  return `${JSON.stringify({ error: { reason, message, facts, hint } })}\n`;
}
