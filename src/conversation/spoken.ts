// What a reply of another program says, without the thoughts and tool calls that the program wrote
// into it for display.

/** `type="reasoning"`, `"tool_calls"` and their like; one without a type is part of the reply. */
const DETAILS = /<(\/?)details\b([^<>]*)>/gi;
const THOUGHTS =
  /<(\/?)(think|thinking|thought|reasoning|reason)>|<\|(?:begin|(end))_of_thought\|>|◁(\/?)think▷/gi;
/** Elsewhere than at the beginning these may be part of a reply. */
const LEADING = ['thought', 'reasoning', 'reason'];

/** The text as it is where it holds nothing of the kind. Takes time that grows with its length. */
export function spoken(text: string): string {
  const aloud = withoutThoughts(withoutDetails(text));
  return aloud === text ? text : aloud.trim();
}

function withoutDetails(text: string): string {
  let kept = '';
  let from = 0;
  /** How deep in a typed one. */
  let depth = 0;
  for (const { 0: tag, 1: slash, 2: attributes = '', index } of text.matchAll(DETAILS)) {
    if (depth > 0) {
      depth += slash === '' ? 1 : -1;
      from = index + tag.length;
    } else if (slash === '' && /\btype\s*=/i.test(attributes)) {
      kept += text.slice(from, index);
      depth = 1;
    }
  }
  // One that is not closed was cut off while it was written.
  return depth > 0 ? kept : kept + text.slice(from);
}

function withoutThoughts(text: string): string {
  let kept = '';
  let from = 0;
  let isInside = false;
  /** Something was said aloud before. */
  let isBegun = false;
  for (const { 0: tag, 1: slash, 2: name = '', 3: end, 4: other, index } of text.matchAll(
    THOUGHTS,
  )) {
    const isClosing = slash === '/' || end !== undefined || other === '/';
    if (isInside && !isClosing) continue;
    isBegun ||= !isInside && firstWord(text, from) < index;
    if (!isInside && isBegun && LEADING.includes(name.toLowerCase())) continue;
    if (isClosing && !isInside) {
      // The template began it: all before was thought.
      kept = '';
      isBegun = false;
    } else if (!isInside) kept += text.slice(from, index);
    isInside = !isClosing;
    from = index + tag.length;
  }
  return isInside ? kept : kept + text.slice(from);
}

function firstWord(text: string, from: number): number {
  const word = /\S/g;
  word.lastIndex = from;
  return word.exec(text)?.index ?? text.length;
}
