// `attune status`, `attune flags`, `attune search`: what there is, at a glance.
import type { Command } from 'commander';
import { z } from 'zod';
import { SearchHit } from '../protocol/conversation.ts';
import { Flag } from '../protocol/flag.ts';
import { EngineView } from '../protocol/server-message.ts';
import { NightList } from '../protocol/summary.ts';
import { type AddressOptions, addAddressOptions, findDaemon } from './address.ts';
import { flagLine, hitLine } from './chat/line.ts';
import { printable } from './chat/terminal.ts';
import { HttpClient } from './http-client.ts';
import { nowLines } from './night/night-command.ts';
import { say } from './report.ts';

type Options = AddressOptions & { readonly json?: boolean };

export function registerOverview(program: Command): void {
  const command = (name: string, description: string): Command =>
    addAddressOptions(program.command(name))
      .description(description)
      .option('--json', 'print JSON');
  command('status', 'say which model speaks, what nights do, and what waits for you').action(
    status,
  );
  command('flags', 'list the flags of all conversations').action(flags);
  command('search <words...>', 'search all conversations and their titles').action(search);
}

function tell(lines: readonly string[], answer: unknown, { json }: Options): void {
  say(json ? JSON.stringify(answer, null, 2) : printable(lines.join('\n')));
}

async function status(options: Options): Promise<void> {
  const address = await findDaemon(options);
  const client = new HttpClient(address);
  const { engine } = await client.get('/api/engine', z.object({ engine: EngineView }));
  const nights = await client.get('/api/nights', NightList);
  const { modelId, device, windowTokens } = engine;
  const lines = [
    `daemon: ${address.url}`,
    engine.status === 'ready'
      ? `model: ${modelId} on ${device}, ${windowTokens} tokens of context, ${nights.version}`
      : `model: ${engine.status}`,
    ...nowLines(nights),
    ...nights.problems.map((problem) => `problem: ${problem}`),
  ];
  tell(lines, { engine, nights }, options);
}

async function flags(options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const answer = await client.get('/api/flags', z.object({ flags: z.array(Flag) }));
  const standing = answer.flags.filter(({ withdrawnAt }) => withdrawnAt === null);
  const lines = standing.map((flag) => `${flag.conversationId}  ${flagLine(flag)}`);
  tell(lines.length === 0 ? ['Nothing is flagged.'] : lines, standing, options);
}

async function search(words: string[], options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const path = `/api/search?query=${encodeURIComponent(words.join(' '))}`;
  const answer = await client.get(path, z.object({ hits: z.array(SearchHit) }));
  const lines = answer.hits.map((hit) => `${hit.conversationId}  ${hitLine(hit)}`);
  tell(lines.length === 0 ? ['Nothing found.'] : lines, answer.hits, options);
}
