// The plain HTTP routes under /api, those that say whether the daemon is well, and its metrics.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { Chat } from '../chat/chat.ts';
import type { Conversations } from '../chat/conversations.ts';
import { ImportReader } from '../conversation/import-reader.ts';
import { entryView, summaryOf } from '../conversation/state.ts';
import type { Memory } from '../memory/memory.ts';
import { parseWith } from '../protocol/codec.ts';
import { Id } from '../protocol/conversation.ts';
import { FlagDraft, FlagPatch } from '../protocol/flag.ts';
import { ConversationPatch } from '../protocol/http.ts';
import type { MemoryView } from '../protocol/memory.ts';
import type { EngineView } from '../protocol/server-message.ts';
import type { EventHub } from './event-hub.ts';
import {
  JSON_TYPE,
  jsonPieces,
  type Route,
  type RouteContext,
  route,
  sendJson,
  sendPieces,
} from './route.ts';

export interface ApiOptions {
  readonly conversations: Conversations;
  readonly engineView: () => EngineView;
  readonly clock: Clock;
  readonly importBytesMax: number;
}

const Limit = z.coerce.number().int().min(1).max(500);

function idOf({ params }: RouteContext): string {
  return parseWith(Id, params.id);
}

function limitOf(query: URLSearchParams, otherwise: number): number {
  const limit = query.get('limit');
  return limit === null ? otherwise : parseWith(Limit, limit);
}

function linesNamed(name: string): Record<string, string> {
  return {
    'Content-Type': 'application/x-ndjson; charset=utf-8',
    'Content-Disposition': `attachment; filename="${name}.jsonl"`,
  };
}

export function apiRoutes(options: ApiOptions): Route[] {
  return [...healthRoutes(options), ...conversationRoutes(options), ...flagRoutes(options)];
}

function healthRoutes({ engineView }: ApiOptions): Route[] {
  const ready = route('GET', '/readyz', ({ response }) => {
    const { status } = engineView();
    sendJson(response, { status }, status === 'ready' ? 200 : 503);
  });
  return [
    { ...route('GET', '/healthz', () => ({ status: 'ok' })), isPublic: true },
    { ...ready, isPublic: true },
    // As llama.cpp and vLLM have it.
    { ...ready, pattern: '/health', isPublic: true },
    route('GET', '/api/engine', () => ({ engine: engineView() })),
  ];
}

function conversationRoutes({ conversations, clock, importBytesMax }: ApiOptions): Route[] {
  const imports = new ImportReader();
  return [
    route('GET', '/api/conversations', ({ query }) => {
      const cursor = query.get('cursor') ?? undefined;
      return conversations.list({ limit: limitOf(query, 50), cursor });
    }),
    route('POST', '/api/conversations', async ({ response, readPieces, signal }) => {
      const imported = await imports.read(await readPieces(importBytesMax), clock.now(), signal);
      if ('create' in imported) {
        const conversation = await conversations.create(imported.create);
        return sendJson(response, { conversation }, 201);
      }
      const done = await conversations.import(imported.log, imported.flags);
      return sendJson(response, done, done.isDuplicate ? 200 : 201);
    }),
    route('GET', '/api/conversations/:id', async (context) => {
      const state = await conversations.read(idOf(context));
      const rest = { ...summaryOf(state), settings: state.settings, messagesBefore: 0 };
      const head = JSON.stringify(rest).slice(0, -1);
      const history = { list: [...state.entries], view: entryView };
      const pieces = jsonPieces(`{"conversation":${head},"history":[`, history, ']}}');
      await sendPieces(context.response, pieces, JSON_TYPE);
    }),
    route('PATCH', '/api/conversations/:id', async (context) => {
      const patch = await context.readBody(ConversationPatch);
      return { conversation: await conversations.change(idOf(context), patch) };
    }),
    route('DELETE', '/api/conversations/:id', async (context) => {
      const conversationId = idOf(context);
      const pending = (await conversations.delete(conversationId)) ?? null;
      // Accepted: the conversation is gone, something that was made from it is not, yet.
      sendJson(context.response, { conversationId, pending }, pending === null ? 200 : 202);
    }),
    route('GET', '/api/conversations/:id/export', async (context) => {
      const id = idOf(context);
      await sendPieces(context.response, conversations.export(id), linesNamed(id));
    }),
    route('GET', '/api/export', ({ response }) =>
      sendPieces(response, conversations.exportAll(), linesNamed('attune')),
    ),
    route('GET', '/api/search', ({ query }) => {
      const text = parseWith(z.string().min(1).max(200), query.get('query') ?? '');
      return conversations.search({ query: text, limit: limitOf(query, 20) });
    }),
  ];
}

function flagRoutes({ conversations }: ApiOptions): Route[] {
  return [
    route('GET', '/api/flags', ({ response, query }) => {
      const list = conversations.flags(query.get('conversationId') ?? undefined);
      return sendPieces(response, jsonPieces('{"flags":[', { list }, ']}'), JSON_TYPE);
    }),
    route('POST', '/api/flags', async ({ response, readBody }) => {
      const flag = await conversations.addFlag(await readBody(FlagDraft));
      sendJson(response, { flag }, 201);
    }),
    route('PATCH', '/api/flags/:id', async (context) => {
      const patch = await context.readBody(FlagPatch);
      return { flag: await conversations.editFlag(idOf(context), patch) };
    }),
    route('DELETE', '/api/flags/:id', async (context) => {
      return { flag: await conversations.withdrawFlag(idOf(context)) };
    }),
  ];
}

// /metrics: numbers since the start, in the text format of Prometheus.

interface MetricsParts {
  readonly events: Pick<EventHub, 'totals'>;
  readonly chat: Pick<Chat, 'repliesRunning'>;
  readonly store: { readonly size: number };
  readonly engineView: () => EngineView;
}

type Row = readonly [name: string, type: 'counter' | 'gauge', help: string, value: number];

function rows({ events, chat, store, engineView }: MetricsParts): Row[] {
  const { totals } = events;
  const isUp = engineView().status === 'ready' ? 1 : 0;
  return [
    ['replies_total', 'counter', 'Replies that ended.', totals.replies],
    ['replies_failed_total', 'counter', 'Replies that an error interrupted.', totals.failed],
    ['prompt_tokens_total', 'counter', 'Tokens of their prompts.', totals.promptTokens],
    ['cached_tokens_total', 'counter', 'Those that came from a cache.', totals.reusedTokens],
    ['reply_tokens_total', 'counter', 'Tokens of the replies.', totals.replyTokens],
    ['replies_running', 'gauge', 'Replies that run or wait.', chat.repliesRunning],
    ['conversations', 'gauge', 'Conversations in the store.', store.size],
    ['engine_up', 'gauge', '1 while the model can answer.', isUp],
    ['uptime_seconds', 'gauge', 'Since the daemon began.', process.uptime()],
    ['memory_bytes', 'gauge', 'Resident memory of the daemon.', process.memoryUsage.rss()],
  ];
}

export function metricsRoute(parts: MetricsParts): Route {
  return route('GET', '/metrics', ({ response }) => {
    const text = rows(parts).map(([name, type, help, value]) => {
      const head = `# HELP attune_${name} ${help}\n# TYPE attune_${name} ${type}\n`;
      return `${head}attune_${name} ${value}\n`;
    });
    const headers = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' };
    response.writeHead(200, { ...headers, 'Cache-Control': 'no-store' }).end(text.join(''));
  });
}

// The HTTP route of what is remembered.

export function memoryRoutes(memory: Memory): Route[] {
  return [route('GET', '/api/memory', () => viewOf(memory))];
}

function viewOf(memory: Memory): MemoryView {
  return {
    kept: memory.list().map(({ gist, salience }) => ({
      conversationId: gist.conversationId,
      restedAt: gist.restedAt,
      salience,
      salienceAtRest: gist.salience,
      inputs: { ...gist.inputs },
      items: gist.items.map(({ kind, text }) => ({ kind, text })),
    })),
    forgotten: memory.forgotten.map(({ conversationId, forgottenAt, reason }) => ({
      conversationId,
      forgottenAt,
      reason,
    })),
  };
}
