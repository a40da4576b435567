// Reads an element of a list that must be there.

/**
 * The element at `index`, counted from the end when negative.
 * @throws RangeError when the list has none there, which is a mistake of the caller
 */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const element = list[index < 0 ? list.length + index : index];
  if (element === undefined) throw new RangeError(`a list of ${list.length} has no ${index}`);
  return element;
}
