// Listens: HTTP and WebSocket on one port, the routes it is given and the web client's files.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Chat } from '../chat/chat.ts';
import type { Conversations } from '../chat/conversations.ts';
import type { Config } from '../config/schema.ts';
import { TokenGate } from './access.ts';
import { createWebSocketServer } from './connection.ts';
import type { EngineWatch } from './engine-watch.ts';
import type { EventHub } from './event-hub.ts';
import { openHttpServer } from './http-server.ts';
import type { Route } from './route.ts';
import { readStaticFiles } from './static-files.ts';

export interface ServerOptions {
  readonly settings: Config['server'];
  readonly chat: Chat;
  readonly conversations: Conversations;
  readonly events: EventHub;
  readonly watch: EngineWatch;
  readonly routes: readonly Route[];
  /** The built web client. */
  readonly webFolder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Server {
  readonly port: number;
  /** Tells the clients, closes their connections, waits for requests that are worked on. */
  close(): Promise<void>;
}

/** @throws port-unavailable, token-missing */
export async function openServer(options: ServerOptions): Promise<Server> {
  const { settings, chat, conversations, events, watch, clock, logger } = options;
  const tokens = new TokenGate(settings, clock, logger);
  const shared = { settings, tokens, clock, logger };
  const sockets = createWebSocketServer({
    ...{ ...shared, chat, conversations, events },
    serverName: `attune ${options.version}`,
    engineView: () => watch.view(),
  });
  const http = await openHttpServer({
    ...shared,
    routes: options.routes,
    pages: readStaticFiles(options.webFolder),
    onUpgrade: (request, socket, head) => void sockets.upgrade(request, socket, head),
  });
  return {
    port: http.port,
    async close() {
      await sockets.close();
      await http.close();
    },
  };
}
