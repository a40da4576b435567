// The daemon's address for the commands that connect to it: from an option or the configuration.
import type { Command } from 'commander';
import { AttuneError } from '../base/errors.ts';
import { loadConfig } from '../config/load.ts';
import type { ConfigOptions } from './configuration.ts';

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
