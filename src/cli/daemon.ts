// How commands reach the daemon: its address and its HTTP routes; and commands that only ask it.
import type { Command } from 'commander';
import type { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import { loadConfig } from '../config/load.ts';
import { parseWith } from '../protocol/codec.ts';
import { answeredError } from '../protocol/daemon-client.ts';
import { HttpError } from '../protocol/http.ts';
import { printable } from './chat/terminal.ts';
import type { ConfigOptions } from './configuration.ts';
import { say } from './report.ts';

export interface Address {
  /** "http://127.0.0.1:4747", without a slash at the end. */
  readonly url: string;
  /** Empty: none. */
  readonly token: string;
}

export interface AddressOptions extends ConfigOptions {
  readonly url?: string;
}

/** For a command that talks to the daemon. */
export function addAddressOptions(command: Command): Command {
  return command
    .option('--url <address>', 'URL of the daemon, such as http://127.0.0.1:4747')
    .option('--config <file>', 'configuration file');
}

/** The host to connect to where the daemon listens on all interfaces. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** @throws config-invalid */
export async function findDaemon(
  options: AddressOptions,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Address> {
  const { config } = await loadConfig({ file: options.config, environment });
  const { host, port, token } = config.server;
  const written = options.url ?? `http://${reachable(host)}:${port}`;
  const url = URL.parse(written);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new AttuneError('config-invalid', `"${written}" is not a URL; write http://host:port.`);
  }
  return { url: url.origin, token };
}

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

/** What a command that asks the daemon works with. */
export interface Asked<O = object> {
  readonly client: HttpClient;
  readonly address: Address;
  readonly options: AddressOptions & { readonly json?: boolean } & O;
}

/** What is printed: the lines, or with `--json` the answer. */
export interface Printed {
  readonly answer: unknown;
  readonly lines: readonly string[];
}

/** Adds commands with `--url`, `--config` and `--json` that ask the daemon. */
export function daemonCommands(parent: Command) {
  return <O, A extends unknown[]>(
    usage: string,
    description: string,
    run: (asked: Asked<O>, ...given: A) => Promise<Printed | undefined>,
  ): Command =>
    addAddressOptions(parent.command(usage))
      .description(description)
      .option('--json', 'print JSON')
      .action(async (...given: unknown[]) => {
        const options = given.at(-2) as Asked<O>['options'];
        const address = await findDaemon(options);
        const asked = { client: new HttpClient(address), address, options };
        const printed = await run(asked, ...(given.slice(0, -2) as A));
        if (printed === undefined) return;
        const { answer, lines } = printed;
        say(options.json ? JSON.stringify(answer, null, 2) : printable(lines.join('\n')));
      });
}
