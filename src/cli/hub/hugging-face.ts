// The part of the Hugging Face hub's API that a download needs: a commit, its files, byte ranges.
import { z } from 'zod';
import { type Clock, sleep } from '../../base/clock.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';

export interface HubOptions {
  /** Such as https://huggingface.co, without a path. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Time without data after which a connection counts as lost. */
  readonly stallMs: number;
  readonly clock: Clock;
  /** Number of attempts in a row that bring nothing before it gives up. */
  readonly attemptsMax: number;
}

/** Where bytes of a file are. */
export interface HubPlace {
  readonly repository: string;
  readonly commit: string;
  readonly path: string;
}

export interface HubFile {
  /** Relative; checked that it stays in the target folder. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 of large files, git's blob hash of small ones. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

export interface HubRange {
  readonly start: number;
  /** Size of the whole file, as the hub reports it in this answer. */
  readonly total: number;
  readonly body: AsyncIterable<Uint8Array>;
}

const LISTING_BYTES_MAX = 16 * 2 ** 20;
const PAGES_MAX = 50;
const FILES_MAX = 10_000;
/** Above any model that this engine could run. */
const FILE_BYTES_MAX = 2 ** 40;

const revisionSchema = z.looseObject({ sha: z.string().regex(/^[0-9a-f]{40}$/) });
const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const size = z.int().min(0).max(FILE_BYTES_MAX);
const entrySchema = z.looseObject({
  type: z.string(),
  path: z.string().min(1).max(1024),
  size,
  oid: z.string(),
  lfs: z.looseObject({ oid: hex(64), size }).nullish(),
});
const pageSchema = z.array(entrySchema).max(FILES_MAX);

export class Hub {
  readonly #options: HubOptions;

  /** @throws config-invalid */
  constructor(options: HubOptions) {
    const isHttp =
      URL.canParse(options.endpoint) && /^https?:$/.test(new URL(options.endpoint).protocol);
    if (!isHttp) {
      const message = `HF_ENDPOINT is ${options.endpoint}; write https://huggingface.co`;
      throw new AttuneError('config-invalid', message, { endpoint: options.endpoint });
    }
    this.#options = { ...options, endpoint: options.endpoint.replace(/\/+$/, '') };
  }

  /**
   * Resolves a branch, tag or commit id to a commit id.
   * @throws hub-not-found, hub-refused, hub-failed
   */
  async commitOf(repository: string, revision: string): Promise<string> {
    const path = `/api/models/${repository}/revision/${encodeURIComponent(revision)}`;
    const url = this.#url(path);
    const { value } = await this.#json(url, `${repository}@${revision}`);
    return this.#parse(revisionSchema, value, url).sha;
  }

  /** All files of a commit. @throws hub-failed when the list is broken or names a forbidden path */
  async files(repository: string, commit: string): Promise<HubFile[]> {
    const files: HubFile[] = [];
    let next: string | undefined = this.#url(
      `/api/models/${repository}/tree/${commit}?recursive=true`,
    );
    for (let pages = 0; next !== undefined; pages++) {
      if (pages === PAGES_MAX)
        throw broken(next, `the list of files has more than ${PAGES_MAX} pages`);
      const page = await this.#json(next, repository);
      const entries = this.#parse(pageSchema, page.value, next);
      for (const entry of entries) if (entry.type === 'file') files.push(fileOf(entry, next));
      next = this.#nextPage(page.link, next);
    }
    return files;
  }

  /** Bytes `[start, end)` of a file, or all of it where the server does not do ranges. */
  async range(
    source: HubPlace,
    [start, end]: readonly [start: number, end: number],
  ): Promise<HubRange> {
    const path = source.path.split('/').map(encodeURIComponent).join('/');
    const url = this.#url(`/${source.repository}/resolve/${source.commit}/${path}`);
    const headers = { Range: `bytes=${start}-${end - 1}`, 'Accept-Encoding': 'identity' };
    const response = await this.#fetch(url, headers, source.path);
    const body = this.#watched(response);
    if (response.status !== 206) {
      return {
        start: 0,
        total: Number(response.headers.get('content-length') ?? Number.NaN),
        body,
      };
    }
    const given = response.headers.get('content-range') ?? '';
    const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(given);
    if (match === null) throw broken(url, `its Content-Range is "${given}"`);
    return { start: Number(match[1]), total: Number(match[2]), body };
  }

  async #retried<Result>(action: () => Promise<Result>): Promise<Result> {
    const { clock, attemptsMax } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        if (!isTransient(error) || attempt >= attemptsMax) throw error;
        await sleep(clock, retryDelayMs(error, attempt));
      }
    }
  }

  #url(path: string): string {
    return this.#options.endpoint + path;
  }

  async #fetch(url: string, headers: Record<string, string>, what: string): Promise<Response> {
    const { endpoint, token, stallMs } = this.#options;
    // The next page may be on another host; the token goes to the hub only.
    const isOurs = new URL(url).origin === new URL(endpoint).origin;
    const authorization: Record<string, string> =
      token !== undefined && isOurs ? { Authorization: `Bearer ${token}` } : {};
    const headersDue = new AbortController();
    const late = (): void => headersDue.abort(new Error(`no answer in ${stallMs} ms`));
    const timer = setTimeout(late, stallMs);
    const response = await fetch(url, {
      headers: { 'User-Agent': 'attune', ...headers, ...authorization },
      signal: headersDue.signal,
    })
      .catch((cause: unknown) => {
        const message = `${endpoint} does not answer: ${reasonOf(cause)}`;
        throw new AttuneError('hub-failed', message, { url }, { cause });
      })
      .finally(() => clearTimeout(timer));
    if (response.ok) return response;
    await response.body?.cancel();
    throw refusal(response, what, url);
  }

  #json(url: string, what: string): Promise<{ value: unknown; link: string | null }> {
    return this.#retried(async () => {
      const response = await this.#fetch(url, {}, what);
      const parts: Uint8Array[] = [];
      let bytes = 0;
      for await (const part of this.#watched(response)) {
        bytes += part.length;
        if (bytes > LISTING_BYTES_MAX) throw broken(url, 'the answer is too long');
        parts.push(part);
      }
      try {
        const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
        return { value, link: response.headers.get('link') };
      } catch (cause) {
        throw broken(url, `the answer is not valid JSON: ${reasonOf(cause)}`);
      }
    });
  }

  #parse<T>(schema: z.ZodType<T>, value: unknown, url: string): T {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw broken(url, z.prettifyError(parsed.error).replaceAll('\n', ' '));
  }

  #nextPage(link: string | null, url: string): string | undefined {
    const match = /<([^>]+)>;\s*rel="next"/.exec(link ?? '');
    if (match === null) return undefined;
    const next = new URL(match[1] as string, url);
    if (next.origin === new URL(this.#options.endpoint).origin) return next.href;
    throw broken(url, `its next page is on another host, ${next.origin}`);
  }

  /** The body; fails where no data arrives for a while. */
  async *#watched(response: Response): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    const { stallMs } = this.#options;
    try {
      for (;;) {
        let timer: NodeJS.Timeout | undefined;
        const stalled = new Promise<never>((_, reject) => {
          const error = new AttuneError('hub-failed', `no data from the hub for ${stallMs} ms`);
          timer = setTimeout(() => reject(error), stallMs);
        });
        const { done, value } = await Promise.race([reader.read(), stalled]).finally(() =>
          clearTimeout(timer),
        );
        if (done) return;
        yield value;
      }
    } catch (cause) {
      if (cause instanceof AttuneError) throw cause;
      const message = `the connection broke: ${reasonOf(cause)}`;
      throw new AttuneError('hub-failed', message, {}, { cause });
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
}

/** @throws hub-failed when the path leads out of the folder it is for, or cannot be a file name */
function fileOf(entry: z.infer<typeof entrySchema>, url: string): HubFile {
  const { path, oid, lfs } = entry;
  const parts = path.split('/');
  const isForbidden =
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to refuse
    /[\u0000-\u001f\\:]/.test(path);
  if (isForbidden) throw broken(url, `it lists a file at ${JSON.stringify(path)}`);
  if (lfs != null) return { path, size: lfs.size, hash: { kind: 'sha256', hex: lfs.oid } };
  if (!/^[0-9a-f]{40}$/.test(oid)) throw broken(url, `${path} has the hash ${JSON.stringify(oid)}`);
  return { path, size: entry.size, hash: { kind: 'git', hex: oid } };
}

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 8000;
/** A hub that asks for more patience than this is not waited for. */
const RETRY_AFTER_MS_MAX = 60_000;

/** As long as the hub asks for, else longer from attempt to attempt. */
export function retryDelayMs(error: unknown, attempt: number): number {
  const asked = isAttuneError(error) ? error.facts.retryAfterMs : undefined;
  if (typeof asked === 'number') return asked;
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt);
}

/** Whether a retry can help: broken connections and busy servers, not refusals or wrong data. */
export function isTransient(error: unknown): boolean {
  if (!isAttuneError(error, 'hub-failed')) return false;
  const { status, isLasting } = error.facts;
  return isLasting !== true && (typeof status !== 'number' || status >= 500 || status === 429);
}

/** Seconds or a date. Source: RFC 9110, 10.2.3. */
function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? 1000 * Number(header) : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function refusal({ status, headers }: Response, what: string, url: string): AttuneError {
  const asked = retryAfterMs(headers.get('retry-after'), Date.now());
  const isTooLong = asked !== undefined && asked > RETRY_AFTER_MS_MAX;
  const wait = asked === undefined ? {} : { retryAfterMs: asked, isLasting: isTooLong };
  const facts = { status, url, ...wait };
  if (status === 404) return new AttuneError('hub-not-found', `the hub has no ${what}`, facts);
  if (status === 401 || status === 403) {
    const message =
      `the hub refuses ${what} (${status}): it may be private or gated, or not exist; ` +
      'accept its terms on its page and log in (`hf auth login`, or HF_TOKEN)';
    return new AttuneError('hub-refused', message, facts);
  }
  const patience = isTooLong ? `; it asks to wait ${Math.ceil(asked / 1000)} seconds` : '';
  return new AttuneError('hub-failed', `the hub answered ${status} to ${what}${patience}`, facts);
}

function broken(url: string, why: string): AttuneError {
  const message = `the hub's answer cannot be used (${url}): ${why}`;
  return new AttuneError('hub-failed', message, { url, isLasting: true });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
