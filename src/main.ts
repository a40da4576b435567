// Puts the daemon together, in the order in which one part needs the other; the only place that
// knows them all.
import type { ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import { sweepTemporary } from './base/atomic-file.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { reasonOf } from './base/errors.ts';
import { systemFileOps } from './base/file-ops.ts';
import { acquireLock } from './base/lock.ts';
import { createLogger, type Logger } from './base/logger.ts';
import { lowerPriority } from './base/priority.ts';
import { Chat } from './chat/chat.ts';
import { Conversations } from './chat/conversations.ts';
import { engineSpeaker, upstreamSpeaker } from './chat/speaker.ts';
import { installationFolder, installedVersion } from './config/load.ts';
import type { Config } from './config/schema.ts';
import type { Engine, VersionSource } from './engine/engine.ts';
import { openEngineProcess } from './engine/process/client.ts';
import { forkEngine } from './engine/process/fork.ts';
import { type SupervisedEngine, superviseEngine } from './engine/process/supervise.ts';
import type { Ledger } from './ledger/ledger.ts';
import { surpriseOf } from './memory/surprise.ts';
import { namedModel } from './model/local/resolve-model.ts';
import { notify, scheduleNights } from './night/nightly.ts';
import { NightService } from './night/service.ts';
import { resolveSampling, type Sampling } from './protocol/sampling.ts';
import { apiRoutes, memoryRoutes, metricsRoute } from './server/api-routes.ts';
import { EngineWatch } from './server/engine-watch.ts';
import { EventHub } from './server/event-hub.ts';
import { nightRoutes } from './server/night-routes.ts';
import { ollamaRoutes } from './server/openai/ollama-routes.ts';
import { passingRoutes } from './server/openai/pass-through.ts';
import { openaiRoutes } from './server/openai/routes.ts';
import type { Route } from './server/route.ts';
import { openServer } from './server/server.ts';
import { openStore, type Store } from './store/store.ts';
import { loadableVersion } from './swap/swap.ts';
import type { ChatTokenizer } from './tokenizer/chat-tokenizer.ts';
import { readGenerationConfig } from './tokenizer/generation-config.ts';
import { openTokenizerWorker } from './tokenizer/tokenizer-worker.ts';
import { Upstream, type UpstreamOptions } from './upstream/upstream.ts';
import { judgingSuites } from './work/suite.ts';

export interface StartOptions {
  /** Where the engine is to be opened first, when a process was started for it already. */
  readonly engineProcess?: ChildProcess;
}

/** Absolute. */
export interface Paths {
  readonly store: string;
  /** Widened weights. */
  readonly cache: string;
  readonly model: string;
  /** Test conversations that nights measure on. */
  readonly suites: string;
  readonly prompts: string;
  /** The built web client. */
  readonly web: string;
}

/** What a daemon is made of, opened already. */
export interface DaemonParts {
  readonly config: Config;
  readonly paths: Paths;
  readonly store: Store;
  readonly engine: Engine & Partial<Pick<SupervisedEngine, 'subscribe' | 'restartUnder'>>;
  readonly tokenizer: ChatTokenizer;
  /** How a reply is drawn unless a conversation or a request says otherwise. */
  readonly sampling: Sampling;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Looked through before the daemon's own. */
  readonly routes?: readonly Route[];
}

export interface Daemon {
  readonly store: Store;
  readonly events: EventHub;
  readonly chat: Chat;
  readonly conversations: Conversations;
  readonly nights: NightService;
  readonly watch: EngineWatch;
  readonly port: number;
  /** Where to point a browser. */
  readonly url: string;
  /** Takes no more messages, ends or saves replies, saves everything. Safe to call twice. */
  close(): Promise<void>;
}

type Closer = () => unknown;

/** @throws store-locked, model-not-found, model-damaged, port-unavailable, token-missing … */
export async function startDaemon(config: Config, options: StartOptions = {}): Promise<Daemon> {
  const clock = systemClock;
  const { file } = config.logger;
  const logger = createLogger({ ...config.logger, file: file && resolve(file) });
  const paths = await pathsOf(config.store.path, config.model.path);
  const closers: Closer[] = [];
  try {
    await systemFileOps.makeFolder(paths.store);
    const lock = await acquireLock(join(paths.store, 'lock'), { purpose: 'attune start' });
    closers.push(() => lock.release());
    await sweepTemporary(paths.store, { except: ['cache', 'lock'] });
    // What takes time to open is opened at once; the ledger waits for the name of its base model.
    const starting = closeAtEnd(closers, startEngine(config, { paths, logger, ...options }));
    const base = starting.then(async (engine) => (await engine.describe()).baseHash);
    const storeOptions = {
      memory: config.memory,
      limits: config.server.limits,
      clock,
      logger,
      base,
    };
    const storing = closeAtEnd(closers, openStore(paths.store, storeOptions));
    const defaults = { variables: config.chat.templateVariables };
    const loading = closeAtEnd(closers, openTokenizerWorker({ dir: paths.model, defaults, clock }));
    const opening = [starting, storing, loading, readGenerationConfig(paths.model)] as const;
    // The others are waited for, so that nothing goes on behind a failure.
    await Promise.allSettled(opening);
    const [engine, store, tokenizer, generation] = await Promise.all(opening);
    const sampling = resolveSampling([generation.sampling, config.chat.sampling]);
    const parts = { config, paths, store, engine, tokenizer, sampling, clock, logger };
    return await openDaemon(parts, closers);
  } catch (error) {
    await closeAll(closers, logger);
    throw error;
  }
}

/**
 * Everything above store and engine.
 * @param closers what ends with the daemon, the last first; when this rejects, the caller ends them
 * @throws port-unavailable, token-missing
 */
export async function openDaemon(parts: DaemonParts, closers: Closer[] = []): Promise<Daemon> {
  const { config, paths, store, engine, tokenizer, clock, logger } = parts;
  const { server: settings } = config;
  const active = () => activeVersion(store.ledger, logger);
  const trouble = await returnToVersion(engine, await active(), logger);

  const upstream = await createUpstream(parts, () => watch.tell());
  const { events, watch, chat } = createChat(parts, upstream);
  closers.push(() => watch.close());
  engine.subscribe?.((state) => watch.note(state));
  await watch.refresh();
  for (const notice of watch.view().notices) logger.warn({}, notice);

  upstream?.start();
  closers.push(() => upstream?.close());
  const nights = await createNights(parts, { events, upstream });
  nights.noteTrouble(trouble);
  engine.restartUnder?.(async () => {
    const { version, trouble } = await active();
    nights.noteTrouble(trouble);
    return version;
  });
  chat.watchReplies(nights);
  const schedule = await scheduleNights(nights, { settings: config.night, clock, logger });

  const { limits } = settings;
  const kept = { store: store.conversations, flags: store.flags, consent: store.consent };
  const conversations = new Conversations({ ...kept, chat, engine, events, clock, limits });
  const made = { chat, conversations, events, watch, nights, schedule, upstream };
  const routes = await routesOf(parts, made);
  const server = await openServer({
    ...{ settings, chat, conversations, events, watch, routes, clock, logger },
    ...{ webFolder: paths.web, version: await installedVersion() },
  });
  closers.push(
    () => server.close(),
    // No prompt is waited for: its message is not stored yet, and can be sent again.
    () => Promise.all([tokenizer.close(), nights.close(), chat.close(settings.shutdownTimeoutMs)]),
    () => schedule?.stop(),
  );
  await nights.recover();
  schedule?.start();
  const url = urlOf(settings.host, server.port);
  let closing: Promise<void> | undefined;
  return {
    ...{ store, events, watch, chat, conversations, nights, url, port: server.port },
    close() {
      closing ??= closeAll(closers, logger);
      return closing;
    },
  };
}

interface Made extends Pick<Daemon, 'chat' | 'conversations' | 'events' | 'watch' | 'nights'> {
  readonly schedule: Awaited<ReturnType<typeof scheduleNights>>;
  readonly upstream: Upstream | undefined;
}

async function routesOf(parts: DaemonParts, made: Made): Promise<Route[]> {
  const { config, store, engine, tokenizer, sampling, clock, routes = [] } = parts;
  const { chat, conversations, events, watch, nights, schedule, upstream } = made;
  const { importBytesMax } = config.server.limits;
  const engineView = () => watch.view();
  const { replyTokensMax, learnFromApi } = config.chat;
  const slider = { engine, ledger: store.ledger, tokenizer, replyTokensMax, sampling };
  const trial = { nights, chat, store: store.conversations, engine, tokenizer };
  const asked = {
    ...{ chat, store: store.conversations, tokenizer, engineView, clock, learnFromApi },
    vocabularySize: () => watch.description?.vocabularySize ?? 0,
  };
  const own = [...openaiRoutes(asked), ...ollamaRoutes(asked, await installedVersion())];
  const passing = upstream && { ...asked, upstream, bodyBytesMax: importBytesMax };
  return [
    ...routes,
    metricsRoute({ events, chat, engineView, store: store.conversations }),
    ...apiRoutes({ conversations, engineView, clock, importBytesMax }),
    ...(passing === undefined ? [] : passingRoutes(passing, own)),
    ...own,
    ...nightRoutes({ nights, conversations, slider, trial, schedule }),
    ...memoryRoutes(store.memory),
  ];
}

/** Chat, who is told of it, and how its engine is. */
function createChat(parts: DaemonParts, upstream: Upstream | undefined) {
  const { config, store, engine, tokenizer, sampling, clock, logger } = parts;
  const events = new EventHub();
  const watch = new EngineWatch({
    engine,
    upstream: () => upstream?.view(),
    clock,
    logger,
    tokenizerNotices: tokenizer.notices,
    onChange: (view) => events.publish('engine', { type: 'engine-changed', engine: view }),
  });
  const { systemPrompt, replyTokensMax, stopStrings, replyReserveTokens } = config.chat;
  const chat = new Chat({
    store: store.conversations,
    speaker: upstream === undefined ? engineSpeaker(engine, tokenizer) : upstreamSpeaker(upstream),
    describeEngine: () => watch.description,
    onEngineFailure: (error) => {
      watch.onFailure(error);
      upstream?.onFailure(error);
    },
    tokenizer,
    defaults: { systemPrompt, replyTokensMax, sampling, stop: stopStrings },
    events,
    clock,
    logger,
    limits: { ...config.server.limits, replyReserveTokens },
  });
  return { events, watch, chat };
}

async function pathsOf(storePath: string, model: string): Promise<Paths> {
  const store = resolve(storePath);
  return {
    store,
    cache: join(store, 'cache'),
    model: await namedModel(model, storePath),
    suites: join(installationFolder, 'suites'),
    prompts: join(installationFolder, 'prompts'),
    web: join(installationFolder, 'dist-web'),
  };
}

/** The server that speaks in place of the engine, if there is one. */
async function createUpstream(
  { config, paths, store: { ledger }, engine, tokenizer, logger }: DaemonParts,
  onChange: () => void,
): Promise<Upstream | undefined> {
  const settings = config.engine.upstream;
  if (settings.kind === 'none') return undefined;
  const place = { modelDir: paths.model, cacheDir: paths.cache };
  const write: UpstreamOptions['write'] = async ({ deltas }, form, name) => {
    const { writeAdapter } = await import('./upstream/adapter-file.ts');
    return writeAdapter(form, { deltas, name }, place);
  };
  const wanted = () => loadableVersion(ledger, ledger.head().inForce);
  const parts = { settings, write, wanted, onChange, logger, reference: { engine, tokenizer } };
  return new Upstream(parts, await loadableVersion(ledger, []));
}

interface NightParts {
  readonly events: EventHub;
  readonly upstream: Upstream | undefined;
}

async function createNights(
  parts: DaemonParts,
  { events, upstream }: NightParts,
): Promise<NightService> {
  const { config, paths, store, engine, tokenizer, sampling, clock, logger } = parts;
  const { parameters } = await engine.describe();
  return new NightService({
    config,
    sampling,
    store,
    engine,
    ...(upstream && { upstream }),
    encoding: tokenizer.encoding,
    surpriseOf: (turns) => surpriseOf(turns, { engine, tokenizer }),
    paths: {
      modelDir: paths.model,
      cacheDir: paths.cache,
      ...judgingSuites(paths.suites, parameters),
      promptsFolder: paths.prompts,
    },
    clock,
    logger,
    publish(topic, message) {
      events.publish(topic, message);
      if (message.type === 'summary-ready') {
        const url = urlOf(config.server.host, config.server.port) + message.path;
        notify(config.notify.command, { headline: message.headline, url }, logger);
      }
    },
  });
}

interface EngineStart extends StartOptions {
  readonly paths: Paths;
  readonly logger: Logger;
}

function startEngine(
  { engine: { restartsMax, ...settings }, model: { quantize }, night }: Config,
  { paths, logger, engineProcess }: EngineStart,
): Promise<SupervisedEngine> {
  const folders = { modelDir: paths.model, cacheDir: paths.cache };
  let first = engineProcess;
  return superviseEngine({
    open: (version, lost) => {
      const child = first ?? forkEngine();
      first = undefined;
      // Where a server speaks nobody waits for it, and it may share the processor with that.
      if (settings.upstream.kind !== 'none') lowerPriority(child, night.niceness);
      const options = { ...settings, ...folders, quantize, version };
      const instead = lost === undefined ? {} : { device: 'cpu' as const, notices: [lost] };
      return openEngineProcess({ ...options, ...instead }, child);
    },
    restartsMax,
    onChange: (state, reason) => {
      const facts = reason === undefined ? { state } : { state, error: reason };
      logger[reason === undefined ? 'info' : 'error'](facts, 'the engine');
    },
  });
}

interface ActiveVersion {
  /** Undefined: the base speaks. */
  readonly version?: VersionSource;
  /** Why the active nights are not in it, for a person. */
  readonly trouble?: string;
}

/** The active nights as the ledger has sealed them; without them, chat goes on. */
async function activeVersion(ledger: Ledger, logger: Logger): Promise<ActiveVersion> {
  const { inForce } = ledger.head();
  if (inForce.length === 0) return {};
  try {
    return { version: await loadableVersion(ledger, inForce) };
  } catch (error) {
    return { trouble: baseSpeaks(error, logger) };
  }
}

/** After a start the active nights are active again. @returns why they are not */
async function returnToVersion(
  engine: Engine,
  { version, trouble }: ActiveVersion,
  logger: Logger,
): Promise<string | undefined> {
  if (version === undefined) return trouble;
  try {
    await engine.loadVersion(version);
    await engine.switchVersion(version.id);
    return undefined;
  } catch (error) {
    return baseSpeaks(error, logger);
  }
}

function baseSpeaks(error: unknown, logger: Logger): string {
  logger.error({ error }, 'the active nights cannot be loaded; the base model speaks');
  return (
    `The active nights cannot be loaded, so the base model answers: ${reasonOf(error)} No night can start ` +
    'until `attune swap` has switched to other nights, or to the base model.'
  );
}

/** Also when it opens only after something else has failed. */
function closeAtEnd<T extends { close(): Promise<void> }>(
  closers: Closer[],
  opening: Promise<T>,
): Promise<T> {
  closers.push(async () => (await opening.catch(() => undefined))?.close());
  return opening;
}

async function closeAll(closers: Closer[], logger: Logger): Promise<void> {
  logger.info({}, 'stopping');
  for (const close of closers.splice(0).reverse()) await close();
  logger.info({}, 'stopped');
}

function urlOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
