// Wires the parts of the house into a daemon; the only place that knows them all.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeFolder } from './base/atomic-file.ts';
import { systemClock } from './base/clock.ts';
import { createLogger, type Logger } from './base/logger.ts';
import { createSpeech } from './chat/model-speech.ts';
import { installationFolder, resolveModelPath } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { openEngineProcess } from './engine/process/client.ts';
import { type SupervisedEngine, superviseEngine } from './engine/process/supervise.ts';
import { deleteSource } from './ledger/deletion.ts';
import { type Ledger, openLedger } from './ledger/ledger.ts';
import { type Memory, openMemory } from './memory/memory.ts';
import { surpriseOf } from './memory/surprise.ts';
import { courteousEngine } from './night/courteous-engine.ts';
import { createNightly } from './night/nightly.ts';
import { NightService } from './night/service.ts';
import type { Schedule } from './schedule/schedule.ts';
import { type Daemon, lockStore, openDaemon } from './server/daemon.ts';
import { memoryRoutes } from './server/memory-routes.ts';
import { nightRoutes } from './server/night-routes.ts';
import { versionOf } from './swap/swap.ts';
import { loadTokenizer } from './tokenizer/tokenizer.ts';

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

/** @throws store-locked, model-not-found, model-damaged, port-unavailable, token-missing … */
export async function startDaemon(config: Config): Promise<RunningDaemon> {
  const logger = createLogger({
    level: config.logger.level,
    fileBytesMax: config.logger.fileBytesMax,
    ...(config.logger.file === '' ? {} : { file: resolve(config.logger.file) }),
  });
  const storeFolder = resolve(config.store.path);
  const modelDir = resolveModelPath(config.model.path);
  const places: Places = { storeFolder, cacheDir: join(storeFolder, 'cache'), modelDir };
  await makeFolder(storeFolder);
  const lock = await lockStore(storeFolder);
  try {
    return await start(config, { places, logger, lock });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

interface StartParts {
  readonly places: Places;
  readonly logger: Logger;
  readonly lock: Awaited<ReturnType<typeof lockStore>>;
}

async function start(config: Config, { places, logger, lock }: StartParts): Promise<RunningDaemon> {
  const { storeFolder, cacheDir, modelDir } = places;
  let daemon: Daemon | undefined;
  let nights: NightService | undefined;
  let nightly: Schedule | undefined;
  const [inner, tokenizer, version] = await Promise.all([
    startEngine(config, { places, logger, onChange: (state) => daemon?.watch.note(state) }),
    loadTokenizer(modelDir),
    packageVersion(),
  ]);
  try {
    const { baseHash, parameters } = await inner.describe();
    const ledger = await openLedger(join(storeFolder, 'ledger'), baseHash);
    const memory = await openStoreMemory(config, storeFolder);
    await returnToVersion(inner, ledger, logger);
    const engine = courteousEngine(inner, {
      onBusy: () => nights?.onBusy(),
      onIdle: () => nights?.onIdle(),
    });
    const clock = systemClock;
    daemon = await openDaemon({
      config,
      storeFolder,
      engine,
      speech: createSpeech(tokenizer),
      clock,
      logger,
      version,
      webFolder: join(installationFolder, 'dist-web'),
      lock,
      async onDelete(conversationId) {
        await memory.erase(conversationId);
        await deleteFromLedger(ledger, conversationId);
      },
      routes: ({ flags, store, publish }) => {
        const shared = { config, engine, ledger };
        const suiteFolder = suiteOf(parameters);
        const promptsFolder = join(installationFolder, 'prompts');
        const places = { modelDir, cacheDir, suiteFolder, promptsFolder };
        const parts = { ...places, clock, logger, flags, store, publish, memory };
        nights = new NightService({
          ...shared,
          ...parts,
          surpriseOf: (turns) => surpriseOf(turns, { engine: inner, tokenizer }),
        });
        const slider = { ...shared, tokenizer };
        const nextAt = (): number | null => nightly?.next() ?? null;
        return [...nightRoutes({ nights, slider, nextAt }), ...memoryRoutes(memory)];
      },
    });
    const service = nights as NightService;
    await daemon.watch.refresh();
    await service.recover();
    if (config.night.isEnabled) {
      nightly = await createNightly({ nights: service, settings: config.night, clock, logger });
      nightly.start();
    }
    return running(config, { daemon, nights: service, engine: inner, nightly });
  } catch (error) {
    await daemon?.close();
    await inner.close();
    throw error;
  }
}

function openStoreMemory(config: Config, storeFolder: string): Promise<Memory> {
  const path = join(storeFolder, 'memory.json');
  return openMemory({ path, clock: systemClock, settings: config.memory });
}

interface RunningParts {
  readonly daemon: Daemon;
  readonly nights: NightService;
  readonly engine: SupervisedEngine;
  readonly nightly: Schedule | undefined;
}

/** Models up to this size are measured in the companion's world, larger ones in open language. */
const SMALL_PARAMETERS_MAX = 50_000_000;

function suiteOf(parameters: number): string {
  const world = parameters <= SMALL_PARAMETERS_MAX ? 'companion' : 'open';
  return join(installationFolder, 'suites', world);
}

function running(config: Config, { daemon, nights, engine, nightly }: RunningParts): RunningDaemon {
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    nightly?.stop();
    await Promise.all([nights.close(), daemon.chat.close(config.server.shutdownTimeoutMs)]);
    await daemon.close();
    await engine.close();
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

interface EngineParts {
  readonly places: Places;
  readonly logger: Logger;
  readonly onChange: (state: SupervisedEngine['state']) => void;
}

function startEngine(
  config: Config,
  { places, logger, onChange }: EngineParts,
): Promise<SupervisedEngine> {
  const { restartsMax, ...settings } = config.engine;
  const { modelDir, cacheDir } = places;
  return superviseEngine({
    open: (version) =>
      openEngineProcess({
        ...settings,
        modelDir,
        cacheDir,
        ...(version === undefined ? {} : { version }),
      }),
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

async function deleteFromLedger(ledger: Ledger, conversationId: string): Promise<void> {
  const isFrom = (line: unknown): boolean =>
    (line as { source?: { cluster?: unknown } } | null)?.source?.cluster === conversationId;
  await deleteSource(ledger, conversationId, { at: new Date().toISOString(), isFrom });
}

async function packageVersion(): Promise<string> {
  const text = await readFile(join(installationFolder, 'package.json'), 'utf8');
  return String((JSON.parse(text) as { version?: unknown }).version);
}
