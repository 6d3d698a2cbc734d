/** Logger port over pino. */
import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { DestinationStream, Logger as Pino } from 'pino';
import type { LogFields, Logger } from '../../base/ports/logger.js';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'text';
}

/** Logs to standard error, or to `destination`; synchronously, so that the last lines before an exit are there. */
export function makeLogger(options: LoggerOptions, destination?: DestinationStream): Logger {
  const target = destination ?? pino.destination({ fd: 2, sync: true });
  const settings = {
    level: options.level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return wrap(pino(settings, options.format === 'json' ? target : textLines(target)));
}

function wrap(logger: Pino): Logger {
  return {
    debug: (message, fields) => logger.debug(withErrors(fields), message),
    info: (message, fields) => logger.info(withErrors(fields), message),
    warn: (message, fields) => logger.warn(withErrors(fields), message),
    error: (message, fields) => logger.error(withErrors(fields), message),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** Errors have no enumerable properties, and would be logged as `{}`. */
function withErrors(fields: LogFields | undefined): LogFields {
  if (!fields) return {};
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => value instanceof Error)) return fields;
  return Object.fromEntries(entries.map(([name, value]) => [name, value instanceof Error ? describe(value) : value]));
}

function describe(error: Error): LogFields {
  const { message, name, stack, cause } = error;
  const reason = 'reason' in error ? { reason: error.reason } : {};
  return { name, ...reason, message, stack, ...(cause instanceof Error ? { cause: describe(cause) } : {}) };
}

/** Turns pino's JSON lines into `12:00:00.000 info  message  key=value`. */
function textLines(target: DestinationStream): DestinationStream {
  return new Writable({
    decodeStrings: false,
    write(line: string | Buffer, _encoding, callback) {
      target.write(textLine(line.toString()));
      callback();
    },
  });
}

function textLine(json: string): string {
  const { time, level, msg, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`,
  );
  const clock = typeof time === 'string' ? time.slice(11, 23) : '';
  const head = `${clock} ${(typeof level === 'string' ? level : '').padEnd(5)} ${typeof msg === 'string' ? msg : ''}`;
  return `${[head, ...fields].join('  ')}\n`;
}
