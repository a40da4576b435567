// Finds secrets in values and text and puts a mark in their place.

/** Shown instead of a secret. */
export const MASK = '***';

/** `windowTokens` is a number of tokens, not a secret: only the singular counts. */
const SECRET_KEY = /(?:^key|token|secret|password|api[-_]?key|authorization|cookie)$/i;

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
export function maskSecrets(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '…';
  if (Array.isArray(value)) return value.map((item) => maskSecrets(item, depth + 1));
  if (value instanceof Error) return maskError(value, depth);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      isSecretKey(key) && member !== null && member !== undefined && member !== ''
        ? MASK
        : maskSecrets(member, depth + 1),
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
