// `attune memory`: the memories of conversations with their salience, and what was forgotten.

import type { Command } from 'commander';
import { MemoryView } from '../../protocol/memory.ts';
import { fixed } from '../../protocol/number-text.ts';
import { type AddressOptions, addAddressOptions, findDaemon } from '../address.ts';
import { printable } from '../chat/terminal.ts';
import { HttpClient } from '../http-client.ts';

const KEPT_MAX = 20;
const FORGOTTEN_MAX = 10;

export function registerMemory(program: Command): void {
  addAddressOptions(program.command('memory'))
    .description('list what is remembered of the conversations, why, and what was forgotten')
    .option('--json', 'print JSON')
    .action(memory);
}

async function memory(options: AddressOptions & { json?: boolean }): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const view = await client.get('/api/memory', MemoryView);
  const text = options.json ? JSON.stringify(view, null, 2) : memoryText(view);
  process.stdout.write(`${text}\n`);
}

/** The most salient first. Control characters of the texts are removed. */
export function memoryText({ kept, forgotten }: MemoryView): string {
  const lines = kept.slice(0, KEPT_MAX).flatMap((gist) => {
    const why = Object.entries(gist.inputs)
      .filter(([, value]) => value > 0)
      .map(([name, value]) => `${name} ${fixed(value, 2)}`);
    return [
      `${fixed(gist.salience, 2)}  ${gist.conversationId}  (${why.join(', ') || 'no salient input'})`,
      ...gist.items.map(({ kind, text }) => `      ${kind}: ${printable(text)}`),
    ];
  });
  if (kept.length === 0)
    lines.push(
      'Nothing is remembered yet: a conversation is compressed once it has been idle for a while.',
    );
  if (kept.length > KEPT_MAX) lines.push(`… and ${kept.length - KEPT_MAX} more`);
  if (forgotten.length > 0) lines.push('', `forgotten: ${forgotten.length}`);
  for (const { conversationId, forgottenAt, reason } of forgotten.slice(-FORGOTTEN_MAX)) {
    lines.push(
      `  ${new Date(forgottenAt).toISOString().slice(0, 10)}  ${conversationId}  ${reason}`,
    );
  }
  return lines.join('\n');
}
