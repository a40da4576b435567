// The plain HTTP routes under /api, and the two that say whether the daemon is well.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { Talks } from '../chat/talks.ts';
import { ImportReader } from '../conversation/import-reader.ts';
import { entryView, summaryOf } from '../conversation/state.ts';
import { parseWith } from '../protocol/codec.ts';
import { Id } from '../protocol/conversation.ts';
import { FlagDraft, FlagPatch } from '../protocol/flag.ts';
import { ConversationPatch } from '../protocol/http.ts';
import type { EngineView } from '../protocol/server-message.ts';
import {
  JSON_TYPE,
  jsonPieces,
  type Route,
  type RouteContext,
  sendJson,
  sendPieces,
} from './route.ts';

export interface ApiOptions {
  readonly talks: Talks;
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
  return [
    {
      method: 'GET',
      pattern: '/healthz',
      isPublic: true,
      handle: ({ response }) => sendJson(response, { status: 'ok' }),
    },
    {
      method: 'GET',
      pattern: '/readyz',
      isPublic: true,
      handle({ response }) {
        const { status } = engineView();
        sendJson(response, { status }, status === 'ready' ? 200 : 503);
      },
    },
    {
      method: 'GET',
      pattern: '/api/engine',
      handle: ({ response }) => sendJson(response, { engine: engineView() }),
    },
  ];
}

function conversationRoutes({ talks, clock, importBytesMax }: ApiOptions): Route[] {
  const imports = new ImportReader();
  return [
    {
      method: 'GET',
      pattern: '/api/conversations',
      handle({ response, query }) {
        const cursor = query.get('cursor') ?? undefined;
        sendJson(response, talks.list({ limit: limitOf(query, 50), cursor }));
      },
    },
    {
      method: 'POST',
      pattern: '/api/conversations',
      async handle({ response, readPieces, signal }) {
        const body = await readPieces(importBytesMax);
        const imported = await imports.read(body, clock.now(), signal);
        if ('create' in imported) {
          sendJson(response, { conversation: await talks.create(imported.create) }, 201);
          return;
        }
        const done = await talks.import(imported.log, imported.flags);
        sendJson(response, done, done.isDuplicate ? 200 : 201);
      },
    },
    {
      method: 'GET',
      pattern: '/api/conversations/:id',
      async handle(context) {
        const state = await talks.read(idOf(context));
        const rest = { ...summaryOf(state), settings: state.settings, messagesBefore: 0 };
        const head = JSON.stringify(rest).slice(0, -1);
        const history = { list: [...state.entries], view: entryView };
        const pieces = jsonPieces(`{"conversation":${head},"history":[`, history, ']}}');
        await sendPieces(context.response, pieces, JSON_TYPE);
      },
    },
    {
      method: 'PATCH',
      pattern: '/api/conversations/:id',
      async handle(context) {
        const patch = await context.readBody(ConversationPatch);
        const conversation = await talks.change(idOf(context), patch);
        sendJson(context.response, { conversation });
      },
    },
    {
      method: 'DELETE',
      pattern: '/api/conversations/:id',
      async handle(context) {
        const conversationId = idOf(context);
        const pending = await talks.delete(conversationId);
        // Accepted: the conversation is gone, something that was made from it is not, yet.
        const status = pending === undefined ? 200 : 202;
        sendJson(context.response, { conversationId, pending: pending ?? null }, status);
      },
    },
    ...exportRoutes(talks),
    {
      method: 'GET',
      pattern: '/api/search',
      async handle({ response, query }) {
        const text = parseWith(z.string().min(1).max(200), query.get('query') ?? '');
        sendJson(response, await talks.search({ query: text, limit: limitOf(query, 20) }));
      },
    },
  ];
}

function exportRoutes(talks: Talks): Route[] {
  return [
    {
      method: 'GET',
      pattern: '/api/conversations/:id/export',
      async handle(context) {
        const id = idOf(context);
        await sendPieces(context.response, talks.export(id), linesNamed(id));
      },
    },
    {
      method: 'GET',
      pattern: '/api/export',
      async handle({ response }) {
        await sendPieces(response, talks.exportAll(), linesNamed('attune'));
      },
    },
  ];
}

function flagRoutes({ talks }: ApiOptions): Route[] {
  return [
    {
      method: 'GET',
      pattern: '/api/flags',
      async handle({ response, query }) {
        const list = talks.flags(query.get('conversationId') ?? undefined);
        await sendPieces(response, jsonPieces('{"flags":[', { list }, ']}'), JSON_TYPE);
      },
    },
    {
      method: 'POST',
      pattern: '/api/flags',
      async handle({ response, readBody }) {
        sendJson(response, { flag: await talks.addFlag(await readBody(FlagDraft)) }, 201);
      },
    },
    {
      method: 'PATCH',
      pattern: '/api/flags/:id',
      async handle(context) {
        const patch = await context.readBody(FlagPatch);
        sendJson(context.response, { flag: await talks.editFlag(idOf(context), patch) });
      },
    },
    {
      method: 'DELETE',
      pattern: '/api/flags/:id',
      async handle(context) {
        sendJson(context.response, { flag: await talks.withdrawFlag(idOf(context)) });
      },
    },
  ];
}
