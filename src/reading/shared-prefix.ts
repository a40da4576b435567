// Contexts that begin alike, each beginning run once: arms of one moment differ at their end only.
import { at, groupBy } from '../base/at.ts';
import type { ContextCache, Reader, TrainableWeights } from './reader.ts';

interface WithContext {
  /** At least one token; no context is the beginning of another. */
  readonly contextIds: readonly number[];
}

/** Calls `use` with the keys and values of each item's context, which are released after it. */
export async function overSharedPrefixes<Item extends WithContext>(
  reader: Pick<Reader, 'prefill'>,
  items: readonly Item[],
  weights: TrainableWeights,
  use: (cache: ContextCache, item: Item) => Promise<void>,
): Promise<void> {
  const walk = async (group: readonly Item[], onto?: ContextCache): Promise<void> => {
    const [first, ...others] = group;
    if (first === undefined) return;
    const from = onto?.tokens ?? 0;
    const end = others.reduce((least, other) => shared(first, other, least), longest(first));
    const cache = await reader.prefill(first.contextIds.slice(from, end), weights, onto);
    try {
      const isAlike = others.every(({ contextIds }) => contextIds.length === end);
      if (isAlike && first.contextIds.length === end) {
        for (const item of group) await use(cache, item);
        return;
      }
      for (const branch of branches(group, end)) await walk(branch, cache);
    } finally {
      cache.release();
    }
  };
  for (const root of branches(items, 0)) await walk(root);
}

const longest = ({ contextIds }: WithContext): number => contextIds.length;

/** Leading tokens that both have, `most` of them. */
function shared(a: WithContext, b: WithContext, most: number): number {
  let count = 0;
  while (count < most && a.contextIds[count] === b.contextIds[count]) count++;
  return count;
}

/** By the token at a position. */
function branches<Item extends WithContext>(items: readonly Item[], position: number): Item[][] {
  return [...groupBy(items, ({ contextIds }) => at(contextIds, position)).values()];
}
