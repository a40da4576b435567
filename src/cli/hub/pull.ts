// `attune pull`: downloads a model from the Hugging Face hub and verifies each file.
import { promises as fs } from 'node:fs';
import { homedir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { readTextBounded } from '../../base/atomic-file.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { AttuneError } from '../../base/errors.ts';
import { huggingFaceHome } from '../../model/local/local-model.ts';
import { type ConfigOptions, readConfig } from '../configuration.ts';
import { type Choice, chooseFiles } from './choice.ts';
import { download, isWhole } from './download.ts';
import { Hub, type HubFile } from './hugging-face.ts';
import { isWeights, type Look, lookAt } from './look.ts';
import { bytesText, createProgressBar } from './progress-bar.ts';
import { parseSource } from './source.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface PullOptions {
  /** As `parseSource` reads it. */
  readonly source: string;
  /** The folder for the files; made when missing. Default: `models/OWNER/NAME` in the store. */
  readonly folder?: string | undefined;
  readonly storePath: string;
  readonly environment: Environment;
  readonly output: {
    readonly isTTY?: boolean;
    readonly columns?: number;
    write(text: string): unknown;
  };
  /** Of this machine, in bytes. */
  readonly memory?: number;
  readonly clock?: Clock;
  readonly stallMs?: number;
  readonly attemptsMax?: number;
  readonly rangeBytes?: number;
}

const ENDPOINT = 'https://huggingface.co';
const STALL_MS = 30_000;
const ATTEMPTS_MAX = 6;
const RANGE_BYTES = 64 * 2 ** 20;
const TOKEN_BYTES_MAX = 4096;

export function registerPull(program: Command): void {
  program
    .command('pull')
    .description('download a model from the Hugging Face hub (reads HF_ENDPOINT and HF_TOKEN)')
    .argument('<source>', 'OWNER/NAME[:QUANT][@REVISION], OWNER/NAME/FILE.gguf or an address')
    .option('--to <dir>', 'folder for the files (default: models/OWNER/NAME in the store)')
    .option('--config <file>', 'configuration file')
    .action(async (source: string, { to, ...options }: ConfigOptions & { to?: string }) => {
      const { config } = await readConfig(options);
      const model = await pull({
        source,
        folder: to === undefined ? undefined : resolve(to),
        storePath: resolve(config.store.path),
        environment: process.env,
        output: process.stderr,
      });
      process.stdout.write(`Start it: npx attune start --model ${model}\n`);
    });
}

/**
 * @returns what to write after `--model`
 * @throws config-invalid, hub-not-found, hub-refused, hub-failed, model-unsupported,
 *   download-damaged, disk-full
 */
export async function pull(options: PullOptions): Promise<string> {
  const { environment, storePath, output, clock = systemClock } = options;
  const endpoint = environment.HF_ENDPOINT || ENDPOINT;
  const attemptsMax = options.attemptsMax ?? ATTEMPTS_MAX;
  const hub = new Hub({
    endpoint,
    token: await tokenOf(environment),
    stallMs: options.stallMs ?? STALL_MS,
    clock,
    attemptsMax,
  });
  const say = (text: string): unknown => output.write(`${text}\n`);
  if (goesAroundProxy(environment)) say(PROXY_NOTICE);
  const source = parseSource(options.source, endpoint);
  const { repository, revision } = source;
  const folder = options.folder ?? join(storePath, 'models', repository);
  const commit = await hub.commitOf(repository, revision);
  const choice = chooseFiles(await hub.files(repository, commit), source);
  if (choice.notice !== undefined) say(`Taking ${choice.name}. ${choice.notice}`);
  const { rangeBytes = RANGE_BYTES } = options;
  const place = { hub, repository, commit, folder, clock, attemptsMax, rangeBytes };
  const fetchFile = async (file: HubFile): Promise<void> => {
    const { path: label, size: total } = file;
    const bar = createProgressBar(output, { label, total, now: () => clock.monotonicMs() });
    await download(file, { ...place, onProgress: (bytes) => bar.update(bytes) });
    bar.end();
  };
  await assertRoom(choice.files, folder);
  for (const file of choice.files.filter((one) => !isWeights(one))) await fetchFile(file);
  const weights = choice.files.filter(isWeights);
  const missing = await notWhole(weights, folder);
  if (missing.length > 0) {
    const look = await lookAt(choice, place);
    for (const notice of look.notices) say(notice);
    assertMemory(look, repository, options.memory ?? totalmem());
    await assertRoom(missing, folder, widenedBytes(look));
  }
  for (const file of missing) await fetchFile(file);
  await writeProvenance(folder, choice, { repository, revision, commit });
  return options.folder === undefined ? choice.name : pathOf(folder, choice);
}

const pathOf = (folder: string, { gguf }: Choice): string =>
  gguf === undefined ? folder : join(folder, gguf);

/**
 * The token of the environment, or the one that `hf auth login` has left.
 * Source: huggingface_hub, constants.py, HF_TOKEN_PATH.
 */
async function tokenOf(environment: Environment): Promise<string | undefined> {
  if (environment.HF_TOKEN) return environment.HF_TOKEN;
  const home = huggingFaceHome(homedir(), environment);
  const path = environment.HF_TOKEN_PATH || join(home, 'token');
  const text = await readTextBounded(path, { bytesMax: TOKEN_BYTES_MAX }).catch(() => undefined);
  return text?.trim() || undefined;
}

/** Node's fetch takes a proxy from the environment only from 22.21 and 24 on, where it is told to. */
function goesAroundProxy(environment: Environment): boolean {
  const proxy = environment.HTTPS_PROXY || environment.https_proxy;
  return Boolean(proxy) && environment.NODE_USE_ENV_PROXY !== '1';
}

const PROXY_NOTICE =
  'HTTPS_PROXY is set, but Node does not use it by itself. If the hub cannot be reached: ' +
  'Node 24 uses it where NODE_USE_ENV_PROXY=1 is set.';

async function notWhole(files: readonly HubFile[], folder: string): Promise<HubFile[]> {
  const found: HubFile[] = [];
  for (const file of files) if (!(await isWhole(join(folder, file.path), file))) found.push(file);
  return found;
}

function assertMemory({ model }: Look, repository: string, memory: number): void {
  const { memoryBytes: needed } = model;
  if (needed <= memory) return;
  const message =
    `${repository} takes ${bytesText(needed)} of memory here, and ` +
    `this machine has ${bytesText(memory)}, so it is not fetched; take a smaller model.`;
  throw new AttuneError('model-unsupported', message, { repository, needed, memory });
}

/** What the first start writes into the store's cache. */
const widenedBytes = ({ model }: Look): number =>
  model.quantization === 'F32' ? 0 : model.memoryBytes;

async function assertRoom(files: readonly HubFile[], folder: string, later = 0): Promise<void> {
  await fs.mkdir(folder, { recursive: true });
  let missing = 0;
  for (const { path, size } of files) {
    const sizes = [`${path}.part`, path].map(async (name) => {
      const found = await fs.stat(join(folder, name)).catch(() => undefined);
      return found?.size ?? 0;
    });
    missing += Math.max(0, size - Math.max(...(await Promise.all(sizes))));
  }
  const { bavail, bsize } = await fs.statfs(folder);
  const needed = missing + later;
  if (needed <= bavail * bsize) return;
  const room = bytesText(bavail * bsize);
  const parts =
    later === 0
      ? ''
      : ` (${bytesText(missing)} to download, ${bytesText(later)} for the form that serves)`;
  const message = `${bytesText(needed)} are needed${parts}, but ${folder} has only ${room} free`;
  throw new AttuneError('disk-full', message, { needed, folder });
}

/** A record of the source, beside the files; each GGUF file has its own. */
async function writeProvenance(folder: string, choice: Choice, facts: object): Promise<void> {
  const { files, gguf } = choice;
  const path = gguf === undefined ? join(folder, 'attune-pull.json') : join(folder, `${gguf}.json`);
  await fs.writeFile(path, `${JSON.stringify({ schema: 1, ...facts, files }, null, 2)}\n`);
}
