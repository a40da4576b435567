// The one class for operating errors, the union of its codes, and errors between threads.
import type { z } from 'zod';

/** Every code, with the HTTP status it maps to. Groups by the floor that throws them. */
export const ERROR_STATUS = {
  // base, config
  'config-invalid': 400,
  'store-locked': 409,
  'store-damaged': 500,
  'disk-full': 507,
  'store-failed': 500,
  'store-busy': 503,
  'store-newer': 409,
  'file-too-large': 413,
  'prompt-invalid': 500,
  // graph, runtime
  'graph-shape': 500,
  'graph-unsupported': 500,
  'device-unavailable': 503,
  'runtime-failed': 500,
  // model, tokenizer
  'model-not-found': 404,
  'model-unsupported': 422,
  'model-damaged': 422,
  'tokenizer-invalid': 422,
  'template-failed': 422,
  'span-unaligned': 422,
  // engine
  'window-overflow': 413,
  'version-mismatch': 409,
  'version-unknown': 404,
  'engine-failed': 503,
  aborted: 499,
  // upstream
  'upstream-failed': 502,
  // listen
  'endpoint-failed': 502,
  // pull
  'hub-failed': 502,
  'hub-refused': 403,
  'hub-not-found': 404,
  'download-damaged': 502,
  // scenario, train, measure
  'scenario-invalid': 422,
  'scenario-too-long': 413,
  'training-diverged': 500,
  'training-impossible': 422,
  'delta-damaged': 422,
  'checkpoint-damaged': 500,
  // protocol, server
  'message-invalid': 400,
  'protocol-mismatch': 400,
  'hello-expected': 400,
  'hello-repeated': 400,
  'token-required': 401,
  'token-missing': 400,
  'host-refused': 403,
  'origin-refused': 403,
  'route-unknown': 404,
  'method-refused': 405,
  'payload-too-large': 413,
  'message-too-long': 413,
  'rate-limit': 429,
  'connections-limit': 503,
  'subscriptions-limit': 429,
  'reader-too-slow': 408,
  'heartbeat-missed': 408,
  'shutting-down': 503,
  'port-unavailable': 409,
  'internal-error': 500,
  'daemon-unreachable': 503,
  // conversation, flag, chat
  'conversation-not-found': 404,
  'conversation-exists': 409,
  'deletion-pending': 503,
  'conversation-too-long': 413,
  'conversations-limit': 507,
  'message-not-found': 404,
  'message-conflict': 409,
  'reply-not-found': 404,
  'reply-running': 409,
  'replies-limit': 503,
  'flag-undirected': 422,
  'flag-not-found': 404,
  'flag-used': 409,
  'flag-withdrawn': 409,
  'flag-conflict': 409,
  'flags-limit': 507,
  'span-mismatch': 422,
  // ledger, night, swap
  'night-unknown': 404,
  'night-running': 409,
  'night-squashed': 409,
  'night-failed': 500,
  'night-file-unknown': 500,
  'model-changed': 409,
  'ledger-damaged': 500,
  'swap-refused': 409,
  'review-refused': 409,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof ERROR_STATUS;

export type ErrorFacts = Readonly<Record<string, string | number | boolean | null>>;

/**
 * An error of operation: bad input, a missing file, a full disk. The message says what happened,
 * with which value, and what to do. Programmer errors are plain assertions and crash.
 */
export class AttuneError extends Error {
  override readonly name = 'AttuneError';
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }

  /** HTTP status of this code. */
  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

export function isAttuneError(value: unknown, code?: ErrorCode): value is AttuneError {
  return value instanceof AttuneError && (code === undefined || value.code === code);
}

/** An unexpected error as a coded one; what is in it is for the logger, not for those outside. */
export function codedError(error: unknown): AttuneError {
  if (error instanceof AttuneError) return error;
  const message = 'Internal error. See the log of the daemon.';
  return new AttuneError('internal-error', message, {}, { cause: error });
}

/** Facts that say where something is on this machine, which is nobody's business outside. */
export const PLACES = ['path', 'folder', 'file', 'dir'];

/** With the name of a file or folder in place of its path. */
export function publicMessage({ message, facts }: AttuneError): string {
  const places = PLACES.map((key) => facts[key]).filter((place) => typeof place === 'string');
  return places.reduce(
    (text, place) => text.replaceAll(place, place.split(/[\\/]/).at(-1) ?? ''),
    message,
  );
}

/** An error as a reason, for those outside: names of files, and never where they are. */
export function reasonOf(error: unknown): string {
  if (isAttuneError(error)) return publicMessage(error);
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/(?<![:/\w])(?:\/[^\s/'"]+)+\/(?=[^\s/])/g, '');
}

/** Whether a text from outside is one of the codes. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_STATUS, code);
}

const ISSUES_SHOWN_MAX = 3;

/** First problems of a zod error as one line: `flag.strength: too big; text: expected string`. */
export function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, ISSUES_SHOWN_MAX).map((issue) => {
    const path = issue.path.map(String).join('.');
    const place = path === '' ? 'the message' : path.slice(0, 100);
    return `${place}: ${issue.message.slice(0, 200)}`;
  });
  const more = error.issues.length - shown.length;
  return shown.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

// Errors on their way to another process or thread; codes and facts arrive as they were thrown.

/** A `code` that is not an AttuneError's is a programmer's mistake. */
export interface SentError {
  readonly code: string | undefined;
  readonly message: string;
  readonly facts: ErrorFacts;
}

export function packError(error: unknown): SentError {
  if (isAttuneError(error)) {
    return { code: error.code, message: error.message, facts: error.facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof RangeError ? 'RangeError' : undefined;
  return { code, message, facts: {} };
}

/** @param otherwise the code of an error that had none */
export function unpackError({ code = '', message, facts }: SentError, otherwise: ErrorCode): Error {
  if (isErrorCode(code)) return new AttuneError(code, message, facts);
  if (code === 'RangeError') return new RangeError(message);
  return new AttuneError(otherwise, message, { ...facts, isUnexpected: true });
}
