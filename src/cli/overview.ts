// `attune status`, `flags`, `search` and `memory`: what there is, at a glance.
import type { Command } from 'commander';
import { z } from 'zod';
import { SearchHit } from '../protocol/conversation.ts';
import { Flag } from '../protocol/flag.ts';
import { MemoryView } from '../protocol/memory.ts';
import { fixed } from '../protocol/number-text.ts';
import { EngineView, type UpstreamView } from '../protocol/server-message.ts';
import { NightList } from '../protocol/summary.ts';
import { flagLine, hitLine } from './chat/line.ts';
import { type Asked, daemonCommands, type Printed } from './daemon.ts';
import { nowLines } from './night/night-command.ts';

export function registerOverview(program: Command): void {
  const add = daemonCommands(program);
  add('status', 'say which model speaks, what nights do, and what waits for you', status);
  add('flags', 'list the flags of all conversations', flags);
  add('search <words...>', 'search all conversations and their titles', search);
  add(
    'memory',
    'list what is remembered of the conversations, why, and what was forgotten',
    memory,
  );
}

async function status({ client, address }: Asked): Promise<Printed> {
  const { engine } = await client.get('/api/engine', z.object({ engine: EngineView }));
  const nights = await client.get('/api/nights', NightList);
  const { modelId, device, windowTokens } = engine;
  const lines = [
    `daemon: ${address.url}`,
    engine.status === 'ready'
      ? `model: ${modelId} on ${device}, ${windowTokens} tokens of context, ${nights.version}`
      : `model: ${engine.status}`,
    ...(engine.upstream === undefined ? [] : [upstreamLine(engine.upstream)]),
    ...nowLines(nights),
    ...nights.problems.map((problem) => `problem: ${problem}`),
  ];
  return { answer: { engine, nights }, lines };
}

function upstreamLine({ kind, url, model, status, message, check }: UpstreamView): string {
  const state = status === 'ready' ? check : `down: ${message}`;
  return `server: ${model} on ${kind} at ${url}; ${state}`;
}

async function flags({ client }: Asked): Promise<Printed> {
  const all = await client.get('/api/flags', z.object({ flags: z.array(Flag) }));
  const answer = all.flags.filter(({ withdrawnAt }) => withdrawnAt === null);
  const lines = answer.map((flag) => `${flag.conversationId}  ${flagLine(flag)}`);
  return { answer, lines: lines.length === 0 ? ['Nothing is flagged.'] : lines };
}

async function search({ client }: Asked, words: string[]): Promise<Printed> {
  const path = `/api/search?query=${encodeURIComponent(words.join(' '))}`;
  const { hits } = await client.get(path, z.object({ hits: z.array(SearchHit) }));
  const lines = hits.map((hit) => `${hit.conversationId}  ${hitLine(hit)}`);
  return { answer: hits, lines: lines.length === 0 ? ['Nothing found.'] : lines };
}

const KEPT_MAX = 20;
const FORGOTTEN_MAX = 10;

async function memory({ client }: Asked): Promise<Printed> {
  const answer = await client.get('/api/memory', MemoryView);
  return { answer, lines: memoryLines(answer) };
}

/** The most salient first. */
export function memoryLines({ kept, forgotten }: MemoryView): string[] {
  const lines = kept.slice(0, KEPT_MAX).flatMap((gist) => {
    const why = Object.entries(gist.inputs)
      .filter(([, value]) => value > 0)
      .map(([name, value]) => `${name} ${fixed(value, 2)}`);
    return [
      `${fixed(gist.salience, 2)}  ${gist.conversationId}  (${why.join(', ') || 'no salient input'})`,
      ...gist.items.map(({ kind, text }) => `      ${kind}: ${text}`),
    ];
  });
  if (kept.length === 0) {
    const why = 'a conversation is compressed once it has been idle for a while';
    lines.push(`Nothing is remembered yet: ${why}.`);
  }
  if (kept.length > KEPT_MAX) lines.push(`… and ${kept.length - KEPT_MAX} more`);
  if (forgotten.length > 0) lines.push('', `forgotten: ${forgotten.length}`);
  for (const { conversationId, forgottenAt, reason } of forgotten.slice(-FORGOTTEN_MAX)) {
    const day = new Date(forgottenAt).toISOString().slice(0, 10);
    lines.push(`  ${day}  ${conversationId}  ${reason}`);
  }
  return lines;
}
