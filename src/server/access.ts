// Who may talk to the daemon: token, Host and Origin of a request, decided from its headers alone.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { type Clock, sleep } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';

export type AccessRules = Pick<Config['server'], 'token' | 'allowedHosts' | 'allowedOrigins'>;

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

/** Takes the same time wherever the two differ, and whatever their lengths. */
export function tokenMatches(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

export function isLoopback(host: string): boolean {
  const name = bareHost(host);
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** A host without brackets, in lower case. */
function bareHost(host: string): string {
  return host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
}

/** So short a token is guessed, however slowly guesses are answered. */
const TOKEN_CHARACTERS_MIN = 16;

/** @throws token-missing when the world could come in without a token, or with one that is guessed */
export function assertSafeToListen(host: string, token: string): void {
  if (isLoopback(host) || token.length >= TOKEN_CHARACTERS_MIN) return;
  const needs = `Others can reach ${host} (server.host): set server.token (ATTUNE_TOKEN) first`;
  const message = `${needs}, to at least ${TOKEN_CHARACTERS_MIN} characters (openssl rand -hex 16).`;
  throw new AttuneError('token-missing', message, { host, charactersMin: TOKEN_CHARACTERS_MIN });
}

/** The token of a request: as `Bearer`, or in the headers that others have for it. */
export function tokenOf(headers: IncomingHttpHeaders): string | undefined {
  const match = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '');
  return match?.[1] ?? [headers['x-api-key'] ?? headers['api-key']].flat()[0];
}

/** Between the answers to two wrong tokens, however many are tried at once. */
const WRONG_INTERVAL_MS = 250;
const WRONG_HOLD_MS_MAX = 10_000;

/** Checks tokens. A right one passes at once; wrong ones are answered slowly and logged. */
export class TokenGate {
  readonly #token: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #answeredAtMs = 0;
  #wrong = 0;

  constructor({ token }: AccessRules, clock: Clock, logger: Logger) {
    this.#token = token;
    this.#clock = clock;
    this.#logger = logger;
  }

  isRight(given: string | undefined): boolean {
    return this.#token === '' || (given !== undefined && tokenMatches(given, this.#token));
  }

  /** @throws token-required */
  async assert(given: string | undefined): Promise<void> {
    if (this.isRight(given)) return;
    if (given !== undefined) await this.#holdBack();
    throw new AttuneError('token-required', 'Wrong access token.');
  }

  async #holdBack(): Promise<void> {
    const now = this.#clock.monotonicMs();
    if (now >= this.#answeredAtMs) {
      this.#logger.warn({ before: this.#wrong }, 'a wrong token was presented');
    }
    this.#wrong++;
    const next = Math.max(this.#answeredAtMs, now) + WRONG_INTERVAL_MS;
    this.#answeredAtMs = Math.min(next, now + WRONG_HOLD_MS_MAX);
    await sleep(this.#clock, this.#answeredAtMs - now);
  }
}

/** Name and port of a Host header or of an origin; undefined when it is neither. */
function parseHost(host: string): URL | undefined {
  // The whole header must be a host: no path, no user, no blanks.
  if (!/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.test(host)) return undefined;
  return URL.parse(`http://${host}`) ?? undefined;
}

/**
 * Refuses names that a stranger's DNS may point at us (DNS rebinding): only IP addresses,
 * localhost and configured names are answered. @throws host-refused
 */
export function assertHost(headers: IncomingHttpHeaders, rules: AccessRules): void {
  const host = headers.host ?? '';
  const name = bareHost(parseHost(host)?.hostname ?? '');
  const isKnown =
    isIP(name) !== 0 ||
    name === 'localhost' ||
    rules.allowedHosts.some((allowed) => bareHost(allowed) === name);
  if (name !== '' && isKnown) return;
  const message = `The daemon does not answer as "${host.slice(0, 60)}": see server.allowedHosts.`;
  throw new AttuneError('host-refused', message, { host: host.slice(0, 100) });
}

/**
 * Refuses pages of other sites (cross-site WebSocket hijacking, forged requests). Programs that are
 * no browsers send no Origin. @throws origin-refused
 */
export function assertOrigin(headers: IncomingHttpHeaders, rules: AccessRules): void {
  const { origin, host = '' } = headers;
  if (origin === undefined) {
    const site = headers['sec-fetch-site'];
    if (site !== 'cross-site' && site !== 'same-site') return;
  } else if (rules.allowedOrigins.includes(origin)) {
    return;
  } else {
    const url = URL.parse(origin);
    const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:';
    if (isWeb && url.origin === origin && url.host === parseHost(host)?.host) return;
  }
  const message = 'Pages of other sites may not use this daemon: see server.allowedOrigins.';
  throw new AttuneError('origin-refused', message, { origin: origin?.slice(0, 100) ?? null });
}
