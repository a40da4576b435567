// A client that does all that a person can do, one thing after another, until the daemon is gone, and
// knows what it was told: that is there afterwards. What it was not told may be there or not.
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../src/base/random.ts';
import type { ConversationSummary, Message, SearchHit } from '../../src/protocol/conversation.ts';
import type { Flag } from '../../src/protocol/flag.ts';
import { TestClient } from '../server/test-client.ts';

/** What a client was told of a conversation; the state of one that is not there is `gone`. */
interface Known {
  /** Of messages and replies, by id. */
  readonly texts: ReadonlyMap<string, string>;
  readonly replies: readonly string[];
  readonly canLearn: boolean;
  readonly flags: ReadonlyMap<string, KnownFlag>;
}
interface KnownFlag {
  readonly betterWords: string;
  readonly isWithdrawn: boolean;
}
type State = Known | 'gone';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const ACTS = [
  ...['say', 'say', 'begin', 'again', 'flag', 'edit', 'withdraw'],
  ...['exclude', 'include', 'fork', 'delete', 'import'],
] as const;
type Act = (typeof ACTS)[number];

const EMPTY: Known = { texts: new Map(), replies: [], canLearn: true, flags: new Map() };

/** @throws when the daemon is gone before all of the answer is there, or fails */
export async function ask(
  port: number,
  path: string,
  request: { readonly method?: string; readonly body?: object } = {},
): Promise<Answer> {
  const { method = 'GET', body } = request;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    headers: { 'Content-Type': 'application/json' },
  });
  const text = await response.text();
  if (response.status === 429) {
    await delay(Number(response.headers.get('retry-after')) * 1_000);
    return ask(port, path, request);
  }
  if (response.status >= 500) throw new Failure(`${method} ${path}: ${response.status} ${text}`);
  return { status: response.status, body: JSON.parse(text) };
}

/** Nothing that a kill explains. */
export class Failure extends Error {}

let words = 0;
/** Something that nobody has said before. */
function sentence(): string {
  words += 1;
  return `I promise to bring the W${words}W jam.`;
}

export class Person {
  /** What was acknowledged, by kind. */
  readonly counts: Record<string, number> = {};
  readonly #name: string;
  readonly #random: Random;
  readonly #known = new Map<string, State>();
  /** What was asked and not answered, and how things may be if it was done, or half of it. */
  #unsure: { readonly id: string; readonly after: readonly State[] } | undefined;
  /** Sends again what was not acknowledged, under the same id. */
  #unheard: (() => Promise<void>) | undefined;
  /** What other programs made of a conversation; excluded: it was, when they did. */
  readonly #forks: { readonly word: string; readonly of: string; readonly isExcluded: boolean }[] =
    [];
  #things = 0;
  #port = 0;
  #client: TestClient | undefined;

  constructor(name: string, random: Random) {
    this.#name = name;
    this.#random = random;
  }

  /** Does one thing after another, and ends by what the daemon's end makes fail. */
  async live(port: number, acts: readonly Act[] = ACTS): Promise<never> {
    this.#port = port;
    const client = await TestClient.open(port);
    this.#client = client;
    try {
      await client.hello();
      for (;;) await this.#do(this.#random.pick(acts));
    } finally {
      client.kill();
    }
  }

  async #do(act: Act): Promise<void> {
    if (this.#unheard !== undefined) return this.#unheard();
    const ids = [...this.#known].flatMap(([id, state]) => (state === 'gone' ? [] : [id]));
    if (act === 'import')
      return this.#import(this.#id('import'), [sentence(), sentence(), sentence()]);
    if (act === 'begin' || ids.length === 0) {
      if (ids.length >= 3) return;
      return this.#say({ id: this.#id('talk'), messageId: this.#id('m'), text: sentence() });
    }
    const id = this.#random.pick(ids);
    const known = this.#known.get(id) as Known;
    const flagId = [...known.flags.keys()].find((one) => !known.flags.get(one)?.isWithdrawn);
    if (act === 'say') return this.#say({ id, messageId: this.#id('m'), text: sentence() });
    if (act === 'again') return this.#again(id, known);
    if (act === 'flag') return this.#flag(id, known);
    if (act === 'edit') return this.#changeFlag(id, flagId, 'edit');
    if (act === 'withdraw') return this.#changeFlag(id, flagId, 'withdraw');
    if (act === 'fork') return this.#fork(id, known);
    if (act === 'delete') return this.#change(act, id, 'gone', { method: 'DELETE' });
    const canLearn = act === 'include';
    return this.#change(act, id, { ...known, canLearn }, { method: 'PATCH', body: { canLearn } });
  }

  /** Asks for it; what is refused changes nothing. */
  async #change(
    act: string,
    id: string,
    after: State,
    {
      path = `/api/conversations/${id}`,
      ...request
    }: Parameters<typeof ask>[2] & { path?: string },
  ): Promise<void> {
    this.#unsure = { id, after: [after] };
    const { status } = await ask(this.#port, path, request);
    if (status < 300) this.#told(act, id, after);
    this.#unsure = undefined;
  }

  #told(act: string, id: string, state: State): void {
    this.counts[act] = (this.counts[act] ?? 0) + 1;
    this.#known.set(id, state);
  }

  #heard(act: string, id: string, { text, ...said }: { id: string; text: string; role: string }) {
    const state = this.#known.get(id) ?? 'gone';
    const { texts, replies, ...rest } = state === 'gone' ? EMPTY : state;
    this.#told(act, id, {
      ...rest,
      texts: new Map([...texts, [said.id, text]]),
      replies: said.role === 'user' ? replies : [...replies, said.id],
    });
  }

  async #say(what: { id: string; messageId: string; text: string }, act = 'said'): Promise<void> {
    const { id, messageId, text } = what;
    this.#unheard = () => this.#say(what, 'sent again');
    if (!this.#known.has(id)) this.#known.set(id, 'gone');
    if (this.#known.get(id) === 'gone') this.#unsure = { id, after: [EMPTY] };
    const client = this.#client as TestClient;
    client.send({ type: 'message-say', conversationId: id, messageId, text });
    const stored = await client.next('message-stored', ({ message }) => message.id === messageId);
    this.#unheard = undefined;
    this.#unsure = undefined;
    this.#heard(act, id, stored.message);
    const end = await client.next(
      'reply-end',
      ({ reply }) => reply.messageId === messageId,
      60_000,
    );
    this.#heard('replied', id, end.reply);
  }

  async #again(id: string, { replies }: Known): Promise<void> {
    const replyId = this.#id('again');
    const client = this.#client as TestClient;
    if (replies.length === 0) return;
    client.send({ type: 'reply-regenerate', conversationId: id, replyId });
    const end = await client.next('reply-end', ({ reply }) => reply.id === replyId, 60_000);
    this.#heard('replied again', id, end.reply);
  }

  async #flag(id: string, known: Known): Promise<void> {
    if (known.replies.length === 0) return;
    const replyId = this.#random.pick(known.replies);
    const body = { id: this.#id('flag'), conversationId: id, replyId, betterWords: sentence() };
    await this.#change('flagged', id, flagged(known, body.id, body), {
      ...{ method: 'POST', path: '/api/flags', body },
    });
  }

  async #changeFlag(
    id: string,
    flagId: string | undefined,
    act: 'edit' | 'withdraw',
  ): Promise<void> {
    const known = this.#known.get(id) as Known;
    const flag = known.flags.get(flagId ?? '');
    if (flagId === undefined || flag === undefined) return;
    const path = `/api/flags/${flagId}`;
    const betterWords = sentence();
    if (act === 'edit') {
      const after = flagged(known, flagId, { betterWords });
      return this.#change('edited', id, after, { method: 'PATCH', path, body: { betterWords } });
    }
    const after = flagged(known, flagId, { ...flag, isWithdrawn: true });
    return this.#change('withdrawn', id, after, { method: 'DELETE', path });
  }

  async #fork(id: string, { texts, replies, canLearn }: Known): Promise<void> {
    const [first] = texts.values();
    if (first === undefined || replies.length === 0) return;
    const word = sentence();
    const messages = [
      { role: 'user', content: first },
      { role: 'assistant', content: 'Something else.' },
      { role: 'user', content: word },
    ];
    const body = { model: 'attune', messages };
    const { status } = await ask(this.#port, '/v1/chat/completions', { method: 'POST', body });
    if (status >= 300) return;
    this.#forks.push({ word, of: id, isExcluded: !canLearn });
    this.counts.forked = (this.counts.forked ?? 0) + 1;
  }

  async #import(id: string, said: [string, string, string]): Promise<void> {
    const [asked, replied, better] = said;
    const known: Known = {
      texts: new Map([[`${id}-m`, asked] as const, [`${id}-r`, replied] as const]),
      ...{ replies: [`${id}-r`], canLearn: true },
      flags: new Map([[`${id}-f`, { betterWords: better, isWithdrawn: false }]]),
    };
    const body = importBody(id, said);
    if (!this.#known.has(id)) this.#known.set(id, 'gone');
    this.#unheard = () => this.#import(id, said);
    this.#unsure = { id, after: [known] };
    await ask(this.#port, '/api/conversations', { method: 'POST', body });
    this.#told('imported', id, known);
    this.#unsure = undefined;
    this.#unheard = undefined;
  }

  #id(kind: string): string {
    this.#things += 1;
    return `${this.#name}-${kind}-${this.#things}`;
  }

  /** @throws Failure when something acknowledged is not there exactly once, as it was told */
  async verify(port: number): Promise<void> {
    const unsure = this.#unsure;
    for (const [id, state] of this.#known) {
      const found = await foundOf(port, id);
      const why = difference(state, found);
      if (why === undefined) continue;
      const possible = unsure?.id === id ? unsure.after : [];
      const now = possible.find((one) => difference(one, found) === undefined);
      if (now === undefined) throw new Failure(`${id}: ${why}`);
      this.#known.set(id, now);
    }
    this.#unsure = undefined;
    for (const { word, of, isExcluded } of this.#forks) {
      const hits = await hitsOf(port, word);
      if (hits.length === 0) throw new Failure(`what was said in a fork of ${of} is gone: ${word}`);
      const origin = this.#known.get(of);
      if (!isExcluded && origin !== 'gone' && origin?.canLearn !== false) continue;
      for (const { conversationId } of hits) {
        const { summary } = (await foundOf(port, conversationId)) ?? {};
        if (summary?.canLearn === false) continue;
        throw new Failure(`${conversationId}, a fork of ${of}, which is excluded, is learnt from`);
      }
    }
  }
}

function flagged(known: Known, id: string, flag: Partial<KnownFlag>): Known {
  const whole = { betterWords: '', isWithdrawn: false, ...known.flags.get(id), ...flag };
  const { betterWords, isWithdrawn } = whole;
  return { ...known, flags: new Map([...known.flags, [id, { betterWords, isWithdrawn }]]) };
}

interface Found {
  readonly summary: ConversationSummary;
  readonly history: readonly Message[];
  readonly flags: readonly Flag[];
}

async function foundOf(port: number, id: string): Promise<Found | undefined> {
  const { status, body } = await ask(port, `/api/conversations/${id}`);
  const listed = await ask(port, `/api/flags?conversationId=${id}`);
  const { flags } = listed.body as { flags: Flag[] };
  if (status === 404 && flags.length > 0) throw new Failure(`flags of ${id} are there without it`);
  if (status === 404) return undefined;
  const { history, ...summary } = (body as { conversation: ConversationSummary & Found })
    .conversation;
  return { summary, history, flags };
}

async function hitsOf(port: number, word: string): Promise<readonly SearchHit[]> {
  const { body } = await ask(port, `/api/search?query=${encodeURIComponent(word)}`);
  return (body as { hits: SearchHit[] }).hits;
}

/** How what is there differs from what was told; undefined: not at all. */
function difference(told: State, found: Found | undefined): string | undefined {
  if (told === 'gone') return found === undefined ? undefined : 'it is there';
  if (found === undefined) return 'it is gone';
  const { summary, history, flags } = found;
  for (const [id, text] of told.texts) {
    const there = history.filter((entry) => entry.id === id);
    if (there.length === 1 && there[0]?.text === text) continue;
    return `${id} is there ${there.length} times: ${there[0]?.text}`;
  }
  if (new Set(history.map(({ id }) => id)).size !== history.length) return 'something is twice';
  if (summary.canLearn !== told.canLearn) return `canLearn is ${summary.canLearn}`;
  for (const [id, { betterWords, isWithdrawn }] of told.flags) {
    const flag = flags.find((one) => one.id === id);
    if (flag?.betterWords !== betterWords) return `the flag ${id} says ${flag?.betterWords}`;
    if ((flag.withdrawnAt !== null) !== isWithdrawn) return `withdrawn: ${flag.withdrawnAt}`;
  }
  return undefined;
}

function importBody(id: string, [asked, replied, betterWords]: [string, string, string]): object {
  const at = Date.now() - 3_600_000;
  const flag = { id: `${id}-f`, replyId: `${id}-r`, kind: 'missed', reason: null, strength: 2 };
  return {
    ...{ id, title: 'Imported', origin: 'import', flags: [{ ...flag, betterWords }] },
    messages: [
      { id: `${id}-m`, role: 'user', text: asked, at },
      { id: `${id}-r`, role: 'assistant', text: replied, at },
    ],
  };
}

/** What a decision makes of its night. */
const DECIDED: Readonly<Record<string, string>> = {
  approve: 'in-force',
  reject: 'rejected',
  revert: 'reverted',
};

/** Nights and decisions about them, one after another, until the daemon is gone. */
export class Sleeper {
  readonly counts: Record<string, number> = {};
  readonly #random: Random;
  /** Statuses of nights by id, as they were last listed or decided. */
  readonly #nights = new Map<string, string>();
  /** The weights that are active; undefined: a swap was asked for and not answered. */
  #version: string | undefined;
  /** The night whose status may have been changed since, or `all`. */
  #unsure: string | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  async live(port: number): Promise<never> {
    for (;;) {
      await this.#run(port);
      await this.#decide(port);
      await delay(50);
    }
  }

  /** Whole nights, which learn from conversations that nobody takes back. */
  async sleep(port: number, nights: number): Promise<void> {
    for (let count = 0; count < nights; count++) {
      const body = importBody(`kept-${count}`, [sentence(), sentence(), sentence()]);
      await ask(port, '/api/conversations', { method: 'POST', body });
      while (this.#nights.size <= count) {
        // Refused while one runs.
        await this.#run(port);
        await delay(500);
        await this.verify(port);
      }
    }
  }

  async #run(port: number): Promise<void> {
    const { status } = await ask(port, '/api/nights/run', { method: 'POST', body: {} });
    if (status < 300) this.#count('nights begun or resumed');
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  async #decide(port: number): Promise<void> {
    await this.verify(port);
    const nights = [...this.#nights.keys()];
    if (nights.length === 0) return;
    const id = this.#random.pick(nights);
    const decision = this.#random.pick(['approve', 'reject', 'revert', 'swap', 'back']);
    const isSwap = decision === 'swap' || decision === 'back';
    const path = isSwap ? '/api/swap' : `/api/nights/${id}/${decision}`;
    const body = isSwap ? { nights: decision === 'swap' ? [id] : [] } : {};
    const version = this.#version;
    this.#unsure = isSwap ? 'all' : id;
    this.#version = undefined;
    const { status, body: told } = await ask(port, path, { method: 'POST', body });
    const { to = version } = told as { to?: string };
    this.#version = to;
    if (status >= 300) this.#unsure = undefined;
    else this.#count(`decided: ${decision}`);
    const decided = DECIDED[decision];
    if (status >= 300 || decided === undefined) return;
    this.#nights.set(id, decided);
    this.#unsure = undefined;
  }

  /** Adopts what cannot be known. @throws Failure when a night is gone or a decision forgotten */
  async verify(port: number): Promise<void> {
    const { body } = await ask(port, '/api/nights');
    const list = body as { nights: { nightId: string; status: string }[]; version: string };
    const found = new Map(list.nights.map(({ nightId, status }) => [nightId, status]));
    for (const [id, status] of this.#nights) {
      const now = found.get(id);
      if (now === undefined) throw new Failure(`the night ${id} is gone`);
      const isOpen = this.#unsure === id || this.#unsure === 'all';
      if (now !== status && !isOpen) throw new Failure(`${id} was ${status} and is ${now}`);
    }
    const isKept = this.#version === undefined || this.#version === list.version;
    if (!isKept) {
      throw new Failure(`${this.#version} was in use, and now ${list.version} is`);
    }
    for (const id of found.keys()) if (!this.#nights.has(id)) this.#count('nights finished');
    for (const [id, status] of found) this.#nights.set(id, status);
    this.#version = list.version;
    this.#unsure = undefined;
  }
}
