// What this browser keeps for the page, under names of its own. Where storage is blocked or full,
// nothing is kept, and the page goes on without it.

const PREFIX = 'attune-';

/** Null takes it away. */
export function keep(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // It lives as long as the page.
  }
}

export function kept(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Everything whose name begins so, by the rest of its name. */
export function keptUnder(prefix: string): [string, string][] {
  const start = PREFIX + prefix;
  try {
    return Object.entries(localStorage).flatMap(([name, value]): [string, string][] =>
      name.startsWith(start) ? [[name.slice(start.length), String(value)]] : [],
    );
  } catch {
    return [];
  }
}

/** As `kept`, of something that was kept as JSON; undefined also where it cannot be read. */
export function parsed<T>(text: string | null): T | undefined {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Another tab took away what is named so. */
export function onTaken(prefix: string, taken: (rest: string) => void): void {
  window.addEventListener('storage', ({ key, newValue }) => {
    const start = PREFIX + prefix;
    if (newValue === null && key?.startsWith(start)) taken(key.slice(start.length));
  });
}
