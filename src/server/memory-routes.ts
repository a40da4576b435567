// The HTTP route of what is remembered.
import type { Memory } from '../memory/memory.ts';
import type { MemoryView } from '../protocol/memory.ts';
import { type Route, route } from './route.ts';

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
