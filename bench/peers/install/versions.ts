/** What is compared, by exact version; see ../package.json for the clients. */
export const versions = {
  nats: '2.15.2',
  etcd: '3.7.3',
  kafka: '4.3.1',
} as const;
