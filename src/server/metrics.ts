// /metrics: numbers since the start, in the text format of Prometheus.
import type { Chat } from '../chat/chat.ts';
import type { EngineView } from '../protocol/server-message.ts';
import type { EventHub } from './event-hub.ts';
import { type Route, route } from './route.ts';

export interface MetricsParts {
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
