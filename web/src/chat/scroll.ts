// What is in view: the end while the person is there, else the words that they read.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { flagDraft } from '../flag/flag-draft.ts';
import { history, open, reveal } from '../page-state.ts';
import {
  hasEarlier,
  hasLater,
  holdFirst,
  reach,
  showAround,
  showEarlier,
  showLater,
  showNewest,
  shown,
  soughtMessage,
} from '../stretch.ts';
import { waiting } from '../unstored-message.ts';

/** So near to the end counts as being there, in CSS pixels; so near to an edge brings more. */
const END = 60;
const EDGE = 400;

/** Nothing is said yet: what stands there is read from its beginning. */
const isEmpty = (): boolean => shown.value.length === 0 && waiting.value.length === 0;

export interface Scroll {
  readonly scroller: { current: HTMLDivElement | null };
  /** The end of the conversation is out of view. */
  readonly isAway: boolean;
  readonly onScroll: () => void;
  readonly toEnd: () => void;
  /** To be called when words of the running reply came in. */
  readonly grown: () => void;
}

/** Keeps the end in view while the person is at the end, and else what they read where it is. */
export function useScroll(): Scroll {
  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  /** Where we left it: above that, the person has moved it, though the event is still to come. */
  const leftAt = useRef(0);
  const [isAway, setAway] = useState(false);
  const look = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    isAtEnd.current = isEmpty() || (below < END && !hasLater.value);
    setAway(!isAtEnd.current);
    if (isAtEnd.current) showNewest();
    else holdFirst();
  };
  const toEnd = (): void => {
    isAtEnd.current = true;
    setAway(false);
    showNewest();
    const element = scroller.current;
    if (element === null) return;
    element.scrollTop = isEmpty() ? 0 : element.scrollHeight;
    leftAt.current = element.scrollTop;
  };
  const isMoved = (): boolean => isAbove(scroller.current, leftAt.current);
  const grown = (): void => {
    if (isAtEnd.current && !isMoved()) toEnd();
    else look();
  };
  const onScroll = (): void => {
    // It comes a frame late: words that came in meanwhile do not mean that the person left the end.
    if (!isAtEnd.current || isMoved()) look();
    const element = scroller.current;
    if (element === null || isAtEnd.current) return;
    // Whoever came to a button with a key presses it: it must not run away from them.
    if (document.activeElement?.classList.contains('more')) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (element.scrollTop < EDGE && hasEarlier.value) void showEarlier();
    else if (below < EDGE && hasLater.value) showLater();
  };
  useKeptInView(scroller, isAtEnd);
  useLayoutEffect(toEnd, [open.value?.id]);
  useLayoutEffect(grown, [history.value.length, shown.value.at(-1)?.id, flagDraft.value === null]);
  useLayoutEffect(() => {
    if (isAtEnd.current) toEnd();
  }, [shown.value[0]?.id]);
  // Whoever says something wants to see it, and what comes of it.
  const said = waiting.value.length;
  useLayoutEffect(said > 0 ? toEnd : grown, [said]);
  useSought(scroller, isAtEnd, look);
  useEffect(() => {
    // A keyboard on the screen, a turned phone, a field that grows: the end stays in view.
    const observer = new ResizeObserver(() => isAtEnd.current && toEnd());
    if (scroller.current !== null) observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);
  return { scroller, isAway, onScroll, toEnd, grown };
}

/** Where a line went ("sending…", a replaced reply), the browser moved it, and nobody else. */
function isAbove(element: HTMLElement | null, place: number): boolean {
  const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = element ?? {};
  return scrollTop < Math.min(place, scrollHeight - clientHeight) - 1;
}

type Ref<T> = { current: T };

/** When messages are added or taken away above, what is being read does not move. */
function useKeptInView(scroller: Ref<HTMLDivElement | null>, isAtEnd: Ref<boolean>): void {
  const first = shown.value[0]?.id;
  const drawn = useRef(first);
  const kept = useRef<{ element: Element; top: number } | null>(null);
  // While this runs, the page still shows what was drawn before.
  if (drawn.current !== first && scroller.current !== null && !isAtEnd.current) {
    const { top } = scroller.current.getBoundingClientRect();
    const all = [...scroller.current.querySelectorAll('article')];
    const element = all.find((one) => one.getBoundingClientRect().bottom > top);
    if (element !== undefined) kept.current = { element, top: element.getBoundingClientRect().top };
  }
  useLayoutEffect(() => {
    drawn.current = first;
    if (kept.current?.element.isConnected === true && scroller.current !== null) {
      const { element, top } = kept.current;
      scroller.current.scrollTop += element.getBoundingClientRect().top - top;
    }
    kept.current = null;
  }, [first]);
}

/** Brings a message that was looked for into view, marks it for a moment, goes on from there. */
function useSought(
  scroller: Ref<HTMLDivElement | null>,
  isAtEnd: Ref<boolean>,
  look: () => void,
): void {
  const sought = soughtMessage.value;
  const id = sought?.conversationId === open.value?.id ? sought?.messageId : undefined;
  const isShown = shown.value.some((message) => message.id === id);
  useLayoutEffect(() => {
    if (id === undefined) return;
    if (!isShown) {
      reveal(id);
      void reach(id).then(() => {
        if (soughtMessage.value !== sought) return;
        isAtEnd.current = false;
        if (!showAround(id)) soughtMessage.value = null;
      });
      return;
    }
    const found = `article[data-message-id="${id}"]`;
    const element = scroller.current?.querySelector<HTMLElement>(found);
    element?.scrollIntoView({ block: 'center' });
    element?.classList.add('found');
    setTimeout(() => element?.classList.remove('found'), 2_500);
    if (flagDraft.value === null) focusOn(element);
    soughtMessage.value = null;
    look();
  }, [id, isShown]);
}

/** Keyboard and screen reader go on from this message. */
export function focusOn(article: HTMLElement | null | undefined): void {
  if (article === null || article === undefined) return;
  article.tabIndex = -1;
  article.focus({ preventScroll: true });
}
