/**
 * Deliberate bugs of the metadata. The simulator compiles one in to prove that its checkers would find it; each is looked at
 * in exactly one place. Production never sets one.
 */
export const metadataMutants = {
  'replicas-move-at-once': 'a second replica of a partition is moved before the first one has arrived',
} as const;

export type MetadataMutant = keyof typeof metadataMutants;
