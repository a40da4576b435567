// Diagnostics as JSON lines through pino, to stderr or a file, with secrets masked.
import { renameSync, statSync } from 'node:fs';
import { pino } from 'pino';
import { maskSecrets, maskText } from './redact.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Facts first, then a sentence: `logger.info({ port }, 'listening')`. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  /** A logger that adds facts to every line. */
  child(facts: object): Logger;
}

export interface LoggerOptions {
  readonly level?: LogLevel;
  /** A file; stderr when absent or empty. At `fileBytesMax` it becomes `<file>.1` and a new one begins. */
  readonly file?: string;
  readonly fileBytesMax?: number;
  /** Instead of stderr or a file. */
  readonly write?: (line: string) => void;
}

const FILE_BYTES_MAX = 16 * 2 ** 20;

/** Lines are written before the call returns, so the last ones before a crash are there. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const stream =
    options.write !== undefined
      ? { write: options.write }
      : options.file
        ? rotatingFile(options.file, options.fileBytesMax ?? FILE_BYTES_MAX)
        : pino.destination({ fd: 2, sync: true });
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (facts) => maskSecrets(facts) as Record<string, unknown>,
        bindings: (facts) => maskSecrets(facts) as Record<string, unknown>,
      },
      // Errors were made plain by the masking already.
      serializers: { err: (error: unknown) => error, error: (error: unknown) => error },
    },
    stream,
  );
  return wrap(logger);
}

/** A logger that says nothing, for tests and where none is wanted. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

function wrap(logger: pino.Logger): Logger {
  const plain = (facts: object): object => (facts instanceof Error ? { error: facts } : facts);
  return {
    debug: (facts, message) => logger.debug(plain(facts), maskText(message)),
    info: (facts, message) => logger.info(plain(facts), maskText(message)),
    warn: (facts, message) => logger.warn(plain(facts), maskText(message)),
    error: (facts, message) => logger.error(plain(facts), maskText(message)),
    child: (facts) => wrap(logger.child(maskSecrets(facts) as Record<string, unknown>)),
  };
}

function rotatingFile(file: string, bytesMax: number): { write(line: string): void } {
  const destination = pino.destination({ dest: file, sync: true, mkdir: true, mode: 0o600 });
  let bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return {
    write(line) {
      const lineBytes = Buffer.byteLength(line);
      if (bytes > 0 && bytes + lineBytes > bytesMax) {
        destination.flushSync();
        renameSync(file, `${file}.1`);
        destination.reopen();
        bytes = 0;
      }
      bytes += lineBytes;
      destination.write(line);
    },
  };
}
