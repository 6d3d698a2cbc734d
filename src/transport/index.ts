/** Links between nodes: Raft messages of all partitions, and calls, over HTTP/2. See docs/formats/links.md. */
export { Links } from './http2/links.js';
export { isCertifiedFor } from './http2/certified-names.js';
export type { Delivery } from './frame.js';
export type { LinkIdentity, MemberHello } from './identity.js';
export type { LinkOptions } from './options.js';
export type {
  CallContext,
  CallMethod,
  LinkHost,
  LinksConfiguration,
  LinkTls,
  LossScope,
  MakeLinks,
  NodeAddress,
  NodeLinks,
  PeerStatus,
} from './types.js';
