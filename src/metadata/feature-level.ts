/** The highest level that this build supports; it reads all levels from 1. */
export const supportedFeatureLevel = 1;
