// Finds secrets in values and text and puts a mark in their place.

/** Shown instead of a secret. */
export const MASK = '***';

/** `windowTokens` is a number of tokens, and a `key` alone names a setting: neither is a secret. */
const SECRET_KEY = /(?:upstream[._]key|token|secret|password|api[-_]?key|authorization|cookie)$/i;

/** @param key with the keys above it where they are known: `engine.upstream.key` */
export function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key);
}

const SECRET_TEXT = [
  /\b(Bearer\s+)[\w.~+/-]+=*/gi,
  /\b()hf_[A-Za-z0-9]{8,}/g,
  /([?&](?:token|key|secret)=)[^&\s"']+/gi,
];

/** Masks bearer tokens, hub tokens and secrets in addresses wherever they stand in a text. */
export function maskText(text: string): string {
  return SECRET_TEXT.reduce((masked, pattern) => masked.replace(pattern, `$1${MASK}`), text);
}

const DEPTH_MAX = 8;

/** A copy in which secrets are masked, by key and by what they look like. */
export function maskSecrets(value: unknown, depth = 0, above = ''): unknown {
  if (typeof value === 'string') return maskText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '…';
  if (Array.isArray(value)) return value.map((item) => maskSecrets(item, depth + 1, above));
  if (value instanceof Error) return maskError(value, depth);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      isSecretKey(above + key) && member !== null && member !== undefined && member !== ''
        ? MASK
        : maskSecrets(member, depth + 1, `${above}${key}.`),
    ]),
  );
}

function maskError(error: Error, depth: number): unknown {
  return {
    name: error.name,
    message: maskText(error.message),
    ...(error.stack === undefined ? {} : { stack: maskText(error.stack) }),
    ...('code' in error ? { code: error.code } : {}),
    ...('facts' in error ? { facts: maskSecrets(error.facts, depth + 1) } : {}),
    ...(error.cause === undefined ? {} : { cause: maskSecrets(error.cause, depth + 1) }),
  };
}
