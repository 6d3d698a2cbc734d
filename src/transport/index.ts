/** Links between nodes: Raft messages of all partitions, and calls, over HTTP/2. See docs/formats/links.md. */
export { Links, type LinksConfiguration } from './http2/links.js';
export { isCertifiedFor } from './http2/certified-names.js';
export type { Delivery } from './frame.js';
export type { LinkIdentity, MemberHello } from './identity.js';
export type { LinkOptions } from './options.js';
export type { CallContext, CallMethod, LinkHost, LinkTls, LossScope, NodeAddress, PeerStatus } from './types.js';
