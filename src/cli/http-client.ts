// The daemon's HTTP routes for the commands: JSON in, JSON out, coded errors.
import type { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import { parseWith } from '../protocol/codec.ts';
import { answeredError } from '../protocol/daemon-client.ts';
import { HttpError } from '../protocol/http.ts';
import type { Address } from './address.ts';

export class HttpClient {
  readonly #address: Address;

  constructor(address: Address) {
    this.#address = address;
  }

  /** @throws daemon-unreachable, and what the daemon answers with */
  async get<S extends z.ZodType>(path: string, answer: S): Promise<z.infer<S>> {
    const response = await this.#fetch(path, { method: 'GET' });
    return parseWith(answer, await response.json());
  }

  /** @throws daemon-unreachable, and what the daemon answers with */
  async post<S extends z.ZodType>(path: string, body: unknown, answer: S): Promise<z.infer<S>> {
    const response = await this.#fetch(path, { method: 'POST', body: JSON.stringify(body) });
    return parseWith(answer, await response.json());
  }

  /** The body in pieces, as they arrive. @throws daemon-unreachable, also before its end */
  async *stream(path: string): AsyncGenerator<Uint8Array> {
    const { body } = await this.#fetch(path, { method: 'GET' });
    try {
      yield* body ?? [];
    } catch (cause) {
      const message = 'The daemon ended before its answer did. See its log, and try again.';
      throw new AttuneError('daemon-unreachable', message, {}, { cause });
    }
  }

  async #fetch(path: string, init: { method: string; body?: string }): Promise<Response> {
    const { url, token } = this.#address;
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (token !== '') headers.Authorization = `Bearer ${token}`;
    const response = await fetch(url + path, { ...init, headers }).catch((cause: unknown) => {
      const message = `No daemon answers at ${url}. Start it with: attune start`;
      throw new AttuneError('daemon-unreachable', message, { url }, { cause });
    });
    if (response.ok) return response;
    const parsed = HttpError.safeParse(await response.json().catch(() => undefined));
    if (!parsed.success) {
      const message = `${url}${path} answered with status ${response.status}. Is it Attune?`;
      throw new AttuneError('daemon-unreachable', message, { status: response.status });
    }
    throw answeredError(parsed.data.error);
  }
}
