// Ordinary turns for replay: the last tokens of everyday talk, run as decision tokens.
import type { Example } from '../scenario/example.ts';

/**
 * The example with its last `tokens` tokens as decision tokens: the reply and, where it is shorter,
 * the end of the prompt. Every row counts; rows in the prompt predict the prompt's own next token.
 * At least one token stays context.
 */
export function toReplay(example: Example, tokens: number): Example {
  const { contextIds, chosen } = example;
  const all = [...contextIds, ...chosen.ids];
  const next = [...all.slice(1), chosen.targets.at(-1) as number];
  const from = Math.max(1, all.length - tokens);
  const ids = all.slice(from);
  const { rejected: _, ...rest } = example;
  return {
    ...rest,
    scenario: { ...example.scenario, id: `${example.scenario.id}~replay` },
    contextIds: all.slice(0, from),
    chosen: { ids, targets: next.slice(from), lossMask: ids.map(() => 1) },
  };
}
