// Turns what a person selected on the page into spans of the messages' source text.

export interface SelectedSpan {
  readonly role: 'user' | 'assistant';
  readonly messageId: string;
  readonly start: number;
  readonly end: number;
}

interface Point {
  readonly message: HTMLElement;
  readonly offset: number;
}

/** `span` is null for words of more than one message. */
export interface Selected {
  readonly span: SelectedSpan | null;
  readonly range: Range;
}

/** What is selected of the messages. */
export function selectedWords(): Selected | undefined {
  const selection = document.getSelection();
  if (selection === null || selection.isCollapsed || selection.rangeCount === 0) return undefined;
  const range = selection.getRangeAt(0);
  const start = point(range.startContainer, range.startOffset, 'start');
  const end = point(range.endContainer, range.endOffset, 'end');
  if (start === undefined) return undefined;
  const last = end?.message === start.message ? end.offset : lastOf(start.message, range);
  const { messageId, role } = start.message.dataset;
  if (last === undefined && end !== undefined) return { span: null, range };
  if (messageId === undefined || last === undefined || last <= start.offset) return undefined;
  const own = role === 'user' ? 'user' : 'assistant';
  return { span: { role: own, messageId, start: start.offset, end: last }, range };
}

/** Three clicks select a paragraph up to the beginning of what follows: that is its end. */
function lastOf(message: HTMLElement, range: Range): number | undefined {
  const leaves = [...message.querySelectorAll<HTMLElement>('[data-at]')];
  const last = leaves.at(-1);
  if (last === undefined) return undefined;
  const inside = range.cloneRange();
  inside.setEndAfter(last);
  if (inside.toString().trim().length < range.toString().trim().length) return undefined;
  return Number(last.dataset.at) + Number(last.dataset.length);
}

/** The source offset of a place in the page; places between leaves go to the nearest leaf. */
function point(node: Node, offset: number, side: 'start' | 'end'): Point | undefined {
  const element = node instanceof HTMLElement ? node : node.parentElement;
  const message = element?.closest<HTMLElement>('[data-message-id]') ?? undefined;
  if (message === undefined) return undefined;
  const own = node.parentElement?.closest<HTMLElement>('[data-at]');
  if (node.nodeType === Node.TEXT_NODE && own) {
    const at = Number(own.dataset.at);
    const length = Number(own.dataset.length);
    const text = node.textContent ?? '';
    // Text that differs from its source (an entity, an escape) is taken whole.
    if (text.length !== length) return { message, offset: side === 'start' ? at : at + length };
    return { message, offset: at + offset };
  }
  const probe = document.createRange();
  probe.setStart(node, offset);
  const leaves = [...message.querySelectorAll<HTMLElement>('[data-at]')];
  const after = leaves.find((l) => probe.comparePoint(l, 0) >= 0);
  const before = leaves.findLast((l) => probe.comparePoint(l, 0) < 0);
  const chosen = side === 'start' ? after : before;
  if (chosen === undefined) return undefined;
  const at = Number(chosen.dataset.at);
  return { message, offset: side === 'start' ? at : at + Number(chosen.dataset.length) };
}

/** Trims white space at both ends of a span. Undefined when nothing is left. */
export function trimmed(span: SelectedSpan, source: string): SelectedSpan | undefined {
  const text = source.slice(span.start, span.end);
  const start = span.start + (text.length - text.trimStart().length);
  const end = span.end - (text.length - text.trimEnd().length);
  return end > start ? { ...span, start, end } : undefined;
}
