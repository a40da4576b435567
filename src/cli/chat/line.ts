// A flag and a hit of a search as a line of text, in the chat and in the commands.
import type { SearchHit } from '../../protocol/conversation.ts';
import type { Flag } from '../../protocol/flag.ts';

const STRENGTHS = ['slight', 'clear', 'strong'] as const;

export function flagLine({ kind, strength, userSpan, betterWords, reason, usedBy }: Flag): string {
  const parts = [
    `${kind === 'missed' ? 'not heard' : 'listened'} (${STRENGTHS[strength - 1]})`,
    userSpan === null ? '' : `“${userSpan.span.text}”`,
    betterWords === null ? '' : `→ ${betterWords}`,
    reason === null ? '' : `(${reason})`,
    usedBy.length === 0 ? '' : `used in ${usedBy.map(({ night }) => night).join(', ')}`,
  ];
  const filled = parts.filter((part) => part !== '');
  return filled.map((part) => part.replace(/\s+/g, ' ')).join('  ');
}

export function hitLine({ title, role, excerpt }: SearchHit): string {
  return `${title} — ${role === 'user' ? 'you' : 'attune'}: …${excerpt.replace(/\s+/g, ' ')}…`;
}
