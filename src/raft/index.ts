/** The consensus core: what a host needs of it. */
export {
  decodeConfChange,
  emptyConfState,
  encodeConfChange,
  isJoint,
  isVoter,
  leaveJoint,
  membersOf,
} from './conf-change.js';
export { decodeMessage, encodeMessage, messageBytes, writeMessage } from './message-codec.js';
export { isRaftMutant, raftMutants, type RaftMutant } from './mutants.js';
export { isQuorum } from './quorum.js';
export { RaftCore } from './raft.js';
export { RaftDecodeError, varintBytes, type ByteSink } from './wire.js';
export * from './types.js';
