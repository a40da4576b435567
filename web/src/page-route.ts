// Which page is shown: the address is the truth, so reload and back do what they should.
import { signal } from '@preact/signals';

export type Route =
  | { readonly page: 'conversation'; readonly id: string | null }
  | { readonly page: 'flags' | 'model' }
  | { readonly page: 'unknown' }
  | { readonly page: 'nights'; readonly id: string | null; readonly view: 'summary' | 'slider' };

function parse(path: string): Route {
  const [first, second, third] = path.split('/').filter(Boolean);
  if (first === 'flags' || first === 'model') return { page: first };
  if (first === 'nights') {
    return { page: 'nights', id: second ?? null, view: third === 'slider' ? 'slider' : 'summary' };
  }
  // Old addresses say "talks".
  if (first !== undefined && !/^(?:conversations|talks)$/.test(first)) return { page: 'unknown' };
  return { page: 'conversation', id: second ?? null };
}

export const route = signal<Route>(parse(location.pathname));
window.addEventListener('popstate', () => {
  route.value = parse(location.pathname);
});

export function go(path: string, { replace = false } = {}): void {
  if (location.pathname !== path) {
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
  }
  route.value = parse(path);
}

/** For `onClick` of links: in-page navigation unless the person wants a new tab. */
export function follow(event: MouseEvent & { currentTarget: HTMLAnchorElement }): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(event.currentTarget.pathname);
}
