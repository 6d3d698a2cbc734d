import { homedir } from 'node:os';
import path from 'node:path';

/** Outside of the checkout, so that a new one finds what an older one has installed. */
export const cache = process.env.LOGBOOM_CACHE ?? path.join(homedir(), '.cache', 'logboom');
