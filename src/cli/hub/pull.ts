// `attune pull`: downloads a model from the Hugging Face hub and verifies each file.
import { promises as fs } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { type Clock, systemClock } from '../../base/clock.ts';
import { AttuneError } from '../../base/errors.ts';
import { loadConfig } from '../../config/load.ts';
import { download } from './download.ts';
import { Hub, type HubFile } from './hugging-face.ts';
import { bytesText, createProgressBar } from './progress-bar.ts';

export interface PullOptions {
  /** `OWNER/NAME` or `OWNER/NAME@revision`. */
  readonly source: string;
  /** The folder for the files; made when missing. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly output: {
    readonly isTTY?: boolean;
    readonly columns?: number;
    write(text: string): unknown;
  };
  readonly clock?: Clock;
  readonly stallMs?: number;
  readonly attemptsMax?: number;
  readonly rangeBytes?: number;
}

const ENDPOINT = 'https://huggingface.co';
const STALL_MS = 30_000;
const ATTEMPTS_MAX = 6;
const RANGE_BYTES = 64 * 2 ** 20;

/** The files of a model folder; other formats of the same weights are left out. */
const WANTED = [
  /^config\.json$/,
  /^generation_config\.json$/,
  /^model(-\d{5}-of-\d{5})?\.safetensors$/,
  /^model\.safetensors\.index\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^chat_template\.(jinja|json)$/,
  /^merges\.txt$/,
  /^LICENSE/i,
];
const ESSENTIAL = ['config.json', 'tokenizer.json'];

export function registerPull(program: Command): void {
  program
    .command('pull')
    .description('download a model from the Hugging Face hub (reads HF_ENDPOINT and HF_TOKEN)')
    .argument('<source>', 'OWNER/NAME or OWNER/NAME@revision')
    .option('--to <dir>', 'folder for the files (default: models/OWNER/NAME in the store)')
    .action(async (source: string, options: { to?: string }) => {
      const { repository } = parseSource(source);
      const folder = resolve(options.to ?? (await defaultFolder(repository)));
      await pull({ source, folder, environment: process.env, output: process.stderr });
      process.stdout.write(`${folder}\n`);
    });
}

async function defaultFolder(repository: string): Promise<string> {
  const { config } = await loadConfig({ environment: process.env });
  return join(config.store.path, 'models', repository);
}

/** @throws config-invalid, hub-not-found, hub-refused, hub-failed, download-damaged, disk-full */
export async function pull(options: PullOptions): Promise<void> {
  const { environment, folder, output, clock = systemClock } = options;
  const { repository, revision } = parseSource(options.source);
  const hub = new Hub({
    endpoint: environment.HF_ENDPOINT || ENDPOINT,
    token: environment.HF_TOKEN || undefined,
    stallMs: options.stallMs ?? STALL_MS,
  });
  const commit = await hub.commitOf(repository, revision);
  const files = wantedOf(await hub.files(repository, commit), repository);
  await assertRoom(files, folder);
  for (const file of files) {
    const bar = createProgressBar(output, {
      label: file.path,
      total: file.size,
      now: () => clock.monotonicMs(),
    });
    await download(file, {
      hub,
      repository,
      commit,
      folder,
      clock,
      attemptsMax: options.attemptsMax ?? ATTEMPTS_MAX,
      rangeBytes: options.rangeBytes ?? RANGE_BYTES,
      onProgress: (bytes) => bar.update(bytes),
    });
    bar.end();
  }
  await writeProvenance(folder, { repository, revision, commit, files });
}

/** @throws config-invalid */
export function parseSource(source: string): { repository: string; revision: string } {
  const match = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?$/.exec(source);
  const [, repository, revision = 'main'] = match ?? [];
  const isClimbing = [repository, revision].some((part) => part?.includes('..'));
  if (repository !== undefined && !isClimbing) return { repository, revision };
  const message = `${JSON.stringify(source)} is not a valid OWNER/NAME or OWNER/NAME@revision`;
  throw new AttuneError('config-invalid', message, { source });
}

/** Weights last, so that problems of a model show before its weights are downloaded. */
function wantedOf(all: readonly HubFile[], repository: string): HubFile[] {
  const wanted = all.filter(({ path }) => WANTED.some((pattern) => pattern.test(path)));
  const names = new Set(wanted.map(({ path }) => path));
  const missing = ESSENTIAL.filter((name) => !names.has(name));
  if (!wanted.some(({ path }) => path.endsWith('.safetensors'))) missing.push('*.safetensors');
  if (missing.length > 0) {
    const message =
      `${repository} has no ${missing.join(' and no ')}; ` +
      "Attune reads models in Hugging Face's format with safetensors weights";
    throw new AttuneError('model-unsupported', message, { repository, missing: missing.join() });
  }
  return wanted.sort((a, b) => a.size - b.size);
}

async function assertRoom(files: readonly HubFile[], folder: string): Promise<void> {
  await fs.mkdir(folder, { recursive: true });
  let needed = 0;
  for (const { path, size } of files) {
    const sizes = [`${path}.part`, path].map(async (name) => {
      const found = await fs.stat(join(folder, name)).catch(() => undefined);
      return found?.size ?? 0;
    });
    needed += Math.max(0, size - Math.max(...(await Promise.all(sizes))));
  }
  const { bavail, bsize } = await fs.statfs(folder);
  if (needed <= bavail * bsize) return;
  const room = bytesText(bavail * bsize);
  const message = `${bytesText(needed)} are needed, but ${folder} has only ${room} free`;
  throw new AttuneError('disk-full', message, { needed, folder });
}

/** A record of the source, beside the files. */
async function writeProvenance(folder: string, facts: object): Promise<void> {
  const path = join(folder, 'attune-pull.json');
  await fs.writeFile(path, `${JSON.stringify({ schema: 1, ...facts }, null, 2)}\n`);
}
