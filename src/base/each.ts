// Asynchronous work on each element of a list, some at a time.

/**
 * Runs an action for each element, `atOnce` at a time: where one ends, the next begins.
 * @param run gets the element, its index, and which of the lanes it runs in
 * @returns results in the order of the list
 */
export async function eachAtOnce<T, R>(
  list: readonly T[],
  atOnce: number,
  run: (one: T, index: number, lane: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = list.entries();
  const work = async (lane: number): Promise<void> => {
    for (const [index, one] of waiting) results[index] = await run(one, index, lane);
  };
  await Promise.all(Array.from({ length: atOnce }, (_, lane) => work(lane)));
  return results;
}
