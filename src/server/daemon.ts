// The daemon without its engine: opens the store, wires chat and server, closes in good order.
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import { acquireLock, type Lock } from '../base/lock.ts';
import type { Logger } from '../base/logger.ts';
import { Chat } from '../chat/chat.ts';
import { Talks } from '../chat/talks.ts';
import type { Config } from '../config/schema.ts';
import {
  type ConversationStore,
  openConversationStore,
} from '../conversation/conversation-store.ts';
import type { Engine } from '../engine/engine.ts';
import { type FlagStore, openFlagStore } from '../flag/flag-store.ts';
import type { EventTopic } from '../protocol/client-message.ts';
import type { Sampling } from '../protocol/sampling.ts';
import type { ServerMessage } from '../protocol/server-message.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import { apiRoutes } from './api-routes.ts';
import { EngineWatch } from './engine-watch.ts';
import { openHttpServer } from './http-server.ts';
import { Hub } from './hub.ts';
import { openaiRoutes } from './openai-routes.ts';
import type { Route } from './route.ts';
import { readStaticFiles } from './static-files.ts';
import { createWebSocketDoor } from './websocket.ts';

export interface RoomOptions {
  readonly config: Config;
  readonly storeFolder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Deletes what else was made from a talk (gist, dreams); may be asked twice. */
  readonly onDelete?: (conversationId: string) => Promise<void>;
  readonly ops?: FileOps;
}

/** What was said, and what of it was marked. */
export interface Rooms {
  readonly store: ConversationStore;
  readonly flags: FlagStore;
}

export interface DaemonOptions extends RoomOptions {
  readonly engine: Engine;
  readonly tokenizer: ChatTokenizer;
  /** How replies are drawn unless a conversation or a request says otherwise. */
  readonly sampling: Sampling;
  readonly version: string;
  /** Where they are open already; closed with the daemon. */
  readonly rooms?: Rooms;
  /** Where the built web client lies. */
  readonly webFolder: string;
  /** Further parts of the house bring their own routes (nights). */
  readonly routes?: (parts: DaemonParts) => readonly Route[];
  /** Of the store, when it is held already; released with the daemon. */
  readonly lock?: Lock;
}

/** What further parts of the house may use. */
export interface DaemonParts extends Rooms {
  readonly chat: Chat;
  readonly talks: Talks;
  readonly watch: EngineWatch;
  /** Tells all clients that asked for the topic. */
  readonly publish: (topic: EventTopic, message: ServerMessage) => void;
}

export interface Daemon extends DaemonParts {
  readonly port: number;
  readonly isWebBuilt: boolean;
  /** Takes no more messages, ends or saves replies, syncs, lets go of the store. */
  close(): Promise<void>;
}

const CATALOGUE_INTERVAL_MS = 30_000;

/** @throws store-locked, store-damaged, port-unavailable, token-missing */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { storeFolder, ops = systemFileOps } = options;
  await ops.makeFolder(storeFolder);
  await ops.syncFolder(dirname(resolve(storeFolder)));
  const lock = options.lock ?? (await lockStore(storeFolder, ops));
  try {
    const parts = await openParts(options);
    try {
      const door = await openDoors(options, parts);
      return daemonOf(options, { parts, door, lock });
    } catch (error) {
      parts.watch.close();
      await parts.store.close();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** One daemon a store. @throws store-locked */
export function lockStore(storeFolder: string, ops = systemFileOps): Promise<Lock> {
  return acquireLock(join(storeFolder, 'lock'), { purpose: 'attune start', ops });
}

interface Parts extends DaemonParts {
  readonly hub: Hub;
}

/** @throws store-damaged */
export async function openRooms(options: RoomOptions): Promise<Rooms> {
  const { config, clock, logger, storeFolder: folder } = options;
  const { limits } = config.server;
  const ops = options.ops === undefined ? {} : { ops: options.ops };
  const flagsPath = join(folder, 'flags.json');
  const flags = await openFlagStore({ path: flagsPath, clock, flagsMax: limits.flagsMax, ...ops });
  const onDelete = async (conversationId: string): Promise<void> => {
    await flags.deleteOf(conversationId);
    await options.onDelete?.(conversationId);
  };
  const store = await openConversationStore({ folder, logger, onDelete, ...limits, ...ops });
  return { store, flags };
}

async function openParts(options: DaemonOptions): Promise<Parts> {
  const { config, clock, logger, engine } = options;
  const { limits } = config.server;
  const { store, flags } = options.rooms ?? (await openRooms(options));
  const hub = new Hub();
  const onChange = (
    view: Parameters<ConstructorParameters<typeof EngineWatch>[0]['onChange']>[0],
  ) => hub.publish('engine', { type: 'engine-changed', engine: view });
  const watch = new EngineWatch({ engine, clock, logger, onChange });
  const { systemPrompt, replyTokensMax, stopStrings, replyReserveTokens } = config.chat;
  const chat = new Chat({
    store,
    engine,
    describeEngine: () => watch.description,
    onEngineFailure: (error) => watch.onFailure(error),
    tokenizer: options.tokenizer,
    defaults: {
      systemPrompt,
      replyTokensMax,
      sampling: options.sampling,
      stop: stopStrings,
    },
    events: hub,
    clock,
    logger,
    limits: { ...limits, replyReserveTokens },
  });
  const talks = new Talks({ store, flags, chat, engine, events: hub, clock, limits });
  const publish: Parts['publish'] = (topic, message) => hub.publish(topic, message);
  return { store, flags, chat, talks, watch, hub, publish };
}

async function openDoors(options: DaemonOptions, parts: Parts) {
  const { config, clock, logger } = options;
  const { server } = config;
  const { limits } = server;
  const access = server;
  const engineView = (): ReturnType<EngineWatch['view']> => parts.watch.view();
  const pages = readStaticFiles(options.webFolder);
  const sockets = createWebSocketDoor({
    ...parts,
    ...server,
    access,
    clock,
    logger,
    serverName: `attune ${options.version}`,
    engineView,
    connectionsMax: limits.connectionsMax,
  });
  const { talks, chat, store } = parts;
  const routes = [
    ...apiRoutes({ talks, engineView, importBytesMax: limits.importBytesMax }),
    ...openaiRoutes({ chat, store, tokenizer: options.tokenizer, clock, engineView }),
    ...(options.routes?.(parts) ?? []),
  ];
  const http = await openHttpServer({
    host: server.host,
    port: server.port,
    access,
    routes,
    pages,
    clock,
    logger,
    limits,
    onUpgrade: (request, socket, head) => sockets.upgrade(request, socket, head),
  });
  return { http, sockets, isWebBuilt: pages.isBuilt };
}

interface Opened {
  readonly parts: Parts;
  readonly door: Awaited<ReturnType<typeof openDoors>>;
  readonly lock: Lock;
}

function daemonOf(options: DaemonOptions, { parts, door, lock }: Opened): Daemon {
  const { clock, logger, config } = options;
  let timer = clock.setTimeout(flushList, CATALOGUE_INTERVAL_MS, { unref: true });
  function flushList(): void {
    void parts.store.flush();
    timer = clock.setTimeout(flushList, CATALOGUE_INTERVAL_MS, { unref: true });
  }
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    logger.info({}, 'stopping');
    timer.cancel();
    await parts.chat.close(config.server.shutdownTimeoutMs);
    await door.sockets.close();
    await door.http.close();
    parts.watch.close();
    await parts.store.close();
    await lock.release();
    logger.info({}, 'stopped');
  }

  return {
    ...parts,
    port: door.http.port,
    isWebBuilt: door.isWebBuilt,
    close() {
      closing ??= close();
      return closing;
    },
  };
}
