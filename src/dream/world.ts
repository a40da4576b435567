// The world that structured dreams are set in, read from prompts/dream/world.md.
import { z } from 'zod';
import { frontOf, type PromptFolder } from '../prompt/prompt.ts';
import type { Exchange } from './stage.ts';

const worldSchema = z.strictObject({
  domains: z.array(z.strictObject({ task: z.string(), topics: z.array(z.string()).min(2) })).min(1),
  exchanges: z.array(z.tuple([z.string(), z.string()])).min(1),
  feelings: z.array(z.strictObject({ feeling: z.string(), said: z.string() })).min(1),
});

export interface World {
  readonly domains: readonly { readonly task: string; readonly topics: readonly string[] }[];
  readonly exchanges: readonly Exchange[];
  readonly feelings: readonly { readonly feeling: string; readonly said: string }[];
}

/** @throws prompt-invalid */
export function readWorld(prompts: PromptFolder): World {
  const world = frontOf(prompts.get('dream/world'), worldSchema);
  const exchanges = world.exchanges.map(([user, assistant]) => {
    return { user, assistant, isSampled: false };
  });
  return { ...world, exchanges };
}
