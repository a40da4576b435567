// Lists: an element that must be there, groups by a key.

/**
 * The element at `index`, counted from the end when negative.
 * @throws RangeError when the list has none there, which is a mistake of the caller
 */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const element = list[index < 0 ? list.length + index : index];
  if (element === undefined) throw new RangeError(`a list of ${list.length} has no ${index}`);
  return element;
}

/** Items by a key, each group in their order; `Map.groupBy` is there from Node 21 on. */
export function groupBy<Item, Key>(
  items: Iterable<Item>,
  keyOf: (item: Item) => Key,
): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
