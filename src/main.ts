// Wires the parts of the house into a daemon; the only place that knows them all.
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { sweepTemporary } from './base/atomic-file.ts';
import { systemClock } from './base/clock.ts';
import { systemFileOps } from './base/file-ops.ts';
import { createLogger, type Logger } from './base/logger.ts';
import { installationFolder, resolveModelPath } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { openEngineProcess } from './engine/process/client.ts';
import { forkEngine } from './engine/process/fork.ts';
import { type SupervisedEngine, superviseEngine } from './engine/process/supervise.ts';
import { type Ledger, openLedger } from './ledger/ledger.ts';
import { type Memory, openMemory } from './memory/memory.ts';
import { surpriseOf } from './memory/surprise.ts';
import { courteousEngine } from './night/courteous-engine.ts';
import { forgetTalk } from './night/deletion.ts';
import { createNightly } from './night/nightly.ts';
import { NightService } from './night/service.ts';
import { resolveSampling } from './protocol/sampling.ts';
import { NIGHT_FILES } from './record/files.ts';
import type { Schedule } from './schedule/job-schedule.ts';
import { type Daemon, lockStore, openDaemon, openRooms } from './server/daemon.ts';
import { memoryRoutes } from './server/memory-routes.ts';
import { nightRoutes } from './server/night-routes.ts';
import { versionOf } from './swap/swap.ts';
import type { ChatTokenizer } from './tokenizer/chat-tokenizer.ts';
import { readGenerationConfig } from './tokenizer/generation-config.ts';
import { openTokenizerWorker } from './tokenizer/tokenizer-worker.ts';

export interface RunningDaemon {
  readonly daemon: Daemon;
  readonly nights: NightService;
  /** Where to point a browser. */
  readonly url: string;
  /** Saves everything and ends. Safe to call twice. */
  close(): Promise<void>;
}

interface Places {
  readonly storeFolder: string;
  readonly cacheDir: string;
  readonly modelDir: string;
}

export interface StartOptions {
  /** Where the engine is to be opened first, when a process was started for it already. */
  readonly engineProcess?: ChildProcess;
}

/** @throws store-locked, model-not-found, model-damaged, port-unavailable, token-missing … */
export async function startDaemon(
  config: Config,
  options: StartOptions = {},
): Promise<RunningDaemon> {
  const logger = createLogger({
    level: config.logger.level,
    fileBytesMax: config.logger.fileBytesMax,
    ...(config.logger.file === '' ? {} : { file: resolve(config.logger.file) }),
  });
  const storeFolder = resolve(config.store.path);
  const modelDir = resolveModelPath(config.model.path);
  const places: Places = { storeFolder, cacheDir: join(storeFolder, 'cache'), modelDir };
  await systemFileOps.makeFolder(storeFolder);
  const lock = await lockStore(storeFolder);
  try {
    await sweepTemporary(storeFolder, { except: ['cache', 'lock'] });
    return await start(config, { ...options, places, logger, lock, late: {} });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

interface StartParts extends StartOptions {
  readonly places: Places;
  readonly logger: Logger;
  readonly lock: Awaited<ReturnType<typeof lockStore>>;
  /** What others ask for before it can be there. */
  readonly late: { nights?: NightService };
}

async function start(config: Config, parts: StartParts): Promise<RunningDaemon> {
  let daemon: Daemon | undefined;
  const opening = startEngine(config, parts, (state) => daemon?.watch.note(state));
  try {
    const opened = await openAll(config, parts, opening);
    const wired = await wire(config, { ...parts, opened }, (listening) => {
      daemon = listening;
    });
    return running(config, { ...wired, engine: opened.engine, tokenizer: opened.tokenizer });
  } catch (error) {
    await daemon?.close();
    await (await opening.catch(() => undefined))?.close();
    throw error;
  }
}

/** What takes time to open is opened at once: the engine, what was said, the tokenizer. */
async function openAll(config: Config, parts: StartParts, opening: Promise<SupervisedEngine>) {
  const { storeFolder, modelDir } = parts.places;
  const { logger } = parts;
  const openedMemory = openStoreMemory(config, storeFolder);
  const openedLedger = opening.then(async (engine) =>
    openLedger(join(storeFolder, 'ledger'), {
      base: (await engine.describe()).baseHash,
      files: NIGHT_FILES,
    }),
  );
  const onDelete = async (conversationId: string): Promise<void> => {
    // Deletions that were cut short are finished before there are nights.
    if (parts.late.nights !== undefined) return parts.late.nights.forget(conversationId);
    return forgetTalk({ memory: await openedMemory, ledger: await openedLedger }, conversationId);
  };
  const openedRooms = openRooms({ config, storeFolder, clock: systemClock, logger, onDelete });
  const openedTokenizer = openTokenizerWorker({ dir: modelDir, clock: systemClock });
  const generation = readGenerationConfig(modelDir);
  const all = [
    opening,
    openedMemory,
    openedLedger,
    openedRooms,
    openedTokenizer,
    generation,
  ] as const;
  // The others are waited for, so that nothing goes on behind a failure.
  await Promise.allSettled(all);
  const [engine, memory, ledger, rooms, tokenizer, { sampling }] = await Promise.all(all);
  return { engine, memory, ledger, rooms, tokenizer, modelSampling: sampling };
}

type Opened = Awaited<ReturnType<typeof openAll>>;

interface Wired {
  readonly daemon: Daemon;
  readonly nights: NightService;
  readonly nightly: Schedule | undefined;
}

/** Brings the opened parts together behind one door. */
async function wire(
  config: Config,
  parts: StartParts & { readonly opened: Opened },
  onDaemon: (daemon: Daemon) => void,
): Promise<Wired> {
  const { places, logger, lock, late, opened } = parts;
  const { engine: inner, memory, ledger, rooms, tokenizer } = opened;
  const sampling = resolveSampling([opened.modelSampling, config.chat.sampling]);
  const clock = systemClock;
  await returnToVersion(inner, ledger, logger);
  const { parameters } = await inner.describe();
  let nightly: Schedule | undefined;
  const engine = courteousEngine(inner, {
    onBusy: () => late.nights?.onBusy(),
    onIdle: () => late.nights?.onIdle(),
  });
  const daemon = await openDaemon({
    config,
    storeFolder: places.storeFolder,
    rooms,
    engine,
    tokenizer,
    sampling,
    clock,
    logger,
    version: await packageVersion(),
    webFolder: join(installationFolder, 'dist-web'),
    lock,
    routes: ({ flags, store, publish }) => {
      const shared = { config, sampling, engine, ledger };
      const promptsFolder = join(installationFolder, 'prompts');
      const own = { ...places, suiteFolder: suiteOf(parameters), promptsFolder };
      const nights = new NightService({
        ...shared,
        ...own,
        ...{ clock, logger, flags, store, publish, memory },
        surpriseOf: (turns) => surpriseOf(turns, { engine: inner, tokenizer }),
      });
      late.nights = nights;
      const slider = { ...shared, tokenizer };
      const nextAt = (): number | null => nightly?.next() ?? null;
      return [...nightRoutes({ nights, slider, nextAt }), ...memoryRoutes(memory)];
    },
  });
  onDaemon(daemon);
  const service = late.nights as unknown as NightService;
  await daemon.watch.refresh();
  await service.recover();
  if (config.night.isEnabled) {
    nightly = await createNightly({ nights: service, settings: config.night, clock, logger });
    nightly.start();
  }
  return { daemon, nights: service, nightly };
}

function openStoreMemory(config: Config, storeFolder: string): Promise<Memory> {
  const path = join(storeFolder, 'memory.json');
  return openMemory({ path, clock: systemClock, settings: config.memory });
}

interface RunningParts {
  readonly daemon: Daemon;
  readonly nights: NightService;
  readonly engine: SupervisedEngine;
  readonly tokenizer: ChatTokenizer;
  readonly nightly: Schedule | undefined;
}

/** Models up to this size are measured in the companion's world, larger ones in open language. */
const SMALL_PARAMETERS_MAX = 50_000_000;

function suiteOf(parameters: number): string {
  const world = parameters <= SMALL_PARAMETERS_MAX ? 'companion' : 'open';
  return join(installationFolder, 'suites', world);
}

function running(config: Config, parts: RunningParts): RunningDaemon {
  const { daemon, nights, engine, tokenizer, nightly } = parts;
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    nightly?.stop();
    await Promise.all([nights.close(), daemon.chat.close(config.server.shutdownTimeoutMs)]);
    await daemon.close();
    await Promise.all([engine.close(), tokenizer.close()]);
  }
  const { host } = config.server;
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return {
    daemon,
    nights,
    url: `http://${name.includes(':') ? `[${name}]` : name}:${daemon.port}`,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

function startEngine(
  config: Config,
  { places, logger, engineProcess }: StartParts,
  onChange: (state: SupervisedEngine['state']) => void,
): Promise<SupervisedEngine> {
  const { restartsMax, ...settings } = config.engine;
  const { modelDir, cacheDir } = places;
  let first = engineProcess;
  return superviseEngine({
    open: (version) => {
      const child = first ?? forkEngine();
      first = undefined;
      const under = version === undefined ? {} : { version };
      return openEngineProcess({ ...settings, modelDir, cacheDir, ...under }, child);
    },
    restartsMax,
    onChange: (state, reason) => {
      const facts = reason === undefined ? { state } : { state, error: reason };
      logger[reason === undefined ? 'info' : 'error'](facts, 'the engine');
      onChange(state);
    },
  });
}

/** After a restart the nights in force are in force again; without them, chat goes on. */
async function returnToVersion(
  engine: SupervisedEngine,
  ledger: Ledger,
  logger: Logger,
): Promise<void> {
  const { inForce } = ledger.head();
  if (inForce.length === 0) return;
  try {
    const version = await versionOf(ledger, inForce);
    await engine.loadVersion(version);
    await engine.switchVersion(version.id);
  } catch (error) {
    logger.error({ error, inForce }, 'the nights in force cannot be loaded; the base model speaks');
  }
}

async function packageVersion(): Promise<string> {
  const text = await readFile(join(installationFolder, 'package.json'), 'utf8');
  return String((JSON.parse(text) as { version?: unknown }).version);
}
