/**
 * Feature levels make rolling upgrades possible: a build may write a command, or use a format, only when the cluster's level
 * says that every node can read it. Level 1 is the first.
 */

/** The highest level that this build supports; it reads all levels from 1. */
export const supportedFeatureLevel = 1;
