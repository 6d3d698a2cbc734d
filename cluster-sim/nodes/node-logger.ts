/** Log lines of a node, as far as they tell someone who looks at a run what happened. */
import type { Logger, LogFields } from '../../src/base/ports/logger.js';

export function nodeLogger(write: (level: 'warn' | 'error', message: string) => void, known: LogFields = {}): Logger {
  const line = (level: 'warn' | 'error', message: string, fields: LogFields = {}): void => {
    const all = Object.entries({ ...known, ...fields }).filter(([name]) => name !== 'stack');
    write(level, `${message} ${all.map(([name, value]) => `${name}=${String(value)}`).join(' ')}`);
  };
  return {
    debug: () => {},
    info: () => {},
    warn: (message, fields) => line('warn', message, fields),
    error: (message, fields) => line('error', message, fields),
    child: (fields) => nodeLogger(write, { ...known, ...fields }),
  };
}
