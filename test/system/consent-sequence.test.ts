// Whatever a person says, flags, takes back, deletes and imports, in any order, with nights between:
// no word of what is excluded, withdrawn or deleted is in a file of memory or ledger.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import { readImport } from '../../src/conversation/imported.ts';
import type { Draft } from '../../src/dream/draft.ts';
import { changeDream, reviewView } from '../../src/morning/review.ts';
import { finishNight } from '../../src/night/finish.ts';
import { beginNight } from '../../src/night/prepare.ts';
import type { NightServiceOptions } from '../../src/night/service.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { readFlagged, readGists, readScenarioFile } from '../../src/record/files.ts';
import { scenarioOf } from '../../src/scenario/moment.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { commitNight } from '../night/night-store.ts';
import { fc } from '../property.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

// Many nights are run.
vi.setConfig({ testTimeout: 60_000 });

/** What is done, and to which of the things there are. */
interface Step {
  readonly act: (typeof ACTS)[number];
  readonly which: number;
}
const ACTS = [
  'say',
  'again',
  'flag',
  'edit',
  'withdraw',
  'exclude',
  'include',
  'fork',
  'continue',
  'delete',
  'import',
  'night',
  'cut',
  'decide',
  'swap',
  'reword',
  'restart',
] as const;

const AN_HOUR = 3_600_000;

class Person {
  daemon: TestDaemon;
  #night: Omit<NightServiceOptions, 'publish'>;
  /** Conversations that began with the words of another, by the other's id. */
  readonly #copies = new Map<string, string[]>();
  #words = 0;
  #things = 0;

  constructor(daemon: TestDaemon, night: Omit<NightServiceOptions, 'publish'>) {
    this.daemon = daemon;
    this.#night = night;
  }

  /** Says something that nobody has said before. */
  #sentence(): string {
    this.#words += 1;
    return `I promise to bring the W${this.#words}W jam.`;
  }

  #id(kind: string): string {
    this.#things += 1;
    return `${kind}-${this.#things}`;
  }

  async do({ act, which }: Step): Promise<void> {
    const { conversations, store, nights } = this.daemon;
    const ids = store.conversations.ids();
    const id = ids[which % Math.max(1, ids.length)];
    const flags = store.flags.list();
    const flag = flags[which % Math.max(1, flags.length)];
    if (act === 'say') await this.#say(which % 3 === 0 || id === undefined ? this.#id('talk') : id);
    else if (act === 'import') await this.#import();
    else if (act === 'night') await this.#sleep();
    else if (act === 'cut') await this.#cut();
    else if (act === 'decide') await this.#decide(which);
    else if (act === 'swap') await this.#swap(which);
    else if (act === 'reword') await this.#reword(which);
    else if (act === 'restart') await this.#restart();
    else if (id === undefined) return;
    else if (act === 'again') await this.#again(id);
    else if (act === 'flag') await this.#flag(id);
    else if (act === 'fork' || act === 'continue') await this.#overApi(id, act);
    else if (act === 'exclude') {
      await conversations.change(id, { canLearn: false });
      this.#expectNoCopy(id);
    } else if (act === 'include') await conversations.change(id, { canLearn: true });
    else if (act === 'delete') {
      expect(await conversations.delete(id)).toBeUndefined();
      this.#expectNoCopy(id);
    } else if (flag === undefined) return;
    else if (act === 'withdraw') await conversations.withdrawFlag(flag.id);
    // What a night has learnt from is not changed any more.
    else
      await conversations
        .editFlag(flag.id, { betterWords: this.#sentence() })
        .catch(() => undefined);
    await nights.ended();
  }

  /** Nights may learn from no copy either, nor from a copy of one. */
  #expectNoCopy(id: string): void {
    const { conversations } = this.daemon.store;
    for (const copy of this.#copies.get(id) ?? []) {
      if (conversations.has(copy)) expect(conversations.summary(copy).canLearn).toBe(false);
      this.#expectNoCopy(copy);
    }
  }

  async #say(conversationId: string): Promise<void> {
    const answer = await this.daemon.chat.say({
      conversationId,
      messageId: this.#id('m'),
      text: this.#sentence(),
    });
    if ('ended' in answer) await answer.ended;
  }

  async #again(conversationId: string): Promise<void> {
    const answer = await this.daemon.chat.regenerate({ conversationId, replyId: this.#id('r') });
    if ('ended' in answer) await answer.ended;
  }

  async #flag(conversationId: string): Promise<void> {
    const { entries } = await this.daemon.store.conversations.read(conversationId);
    const reply = entries.find((entry) => entry.type === 'reply');
    if (reply === undefined) return;
    const kind = this.#things % 4 === 0 ? 'good' : 'missed';
    await this.daemon.conversations.addFlag({
      ...{ id: this.#id('flag'), conversationId, replyId: reply.id, kind, strength: 2 },
      ...{ userSpan: null, replySpan: null, reason: null, betterWords: this.#sentence() },
    });
  }

  /** Goes on in another program, with the beginning as it was or changed. */
  async #overApi(id: string, act: 'fork' | 'continue'): Promise<void> {
    const { conversations } = this.daemon.store;
    const { entries } = await conversations.read(id);
    const known = new Set(conversations.ids());
    const said = entries.filter((entry) => entry.type === 'message' || !entry.isSuperseded);
    const before = said.map(({ type, text }) => {
      return { role: type === 'message' ? 'user' : 'assistant', content: text };
    });
    if (act === 'fork') before[0] = { role: 'user', content: this.#sentence() };
    const messages = [...before, { role: 'user', content: this.#sentence() }];
    const response = await fetch(`${this.daemon.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'attune', messages }),
    });
    expect(response.status).toBe(200);
    const begun = conversations.ids().filter((one) => !known.has(one));
    this.#copies.set(id, [...(this.#copies.get(id) ?? []), ...begun]);
  }

  async #import(): Promise<void> {
    const id = this.#id('import');
    const at = Date.now() - AN_HOUR;
    const body = {
      ...{ id, title: 'Imported', origin: 'import' },
      messages: [
        { id: `${id}-m`, role: 'user', text: this.#sentence(), at },
        { id: `${id}-r`, role: 'assistant', text: this.#sentence(), at },
      ],
      flags: [
        {
          ...{ id: `${id}-f`, replyId: `${id}-r`, kind: 'missed', reason: null, strength: 2 },
          betterWords: this.#sentence(),
        },
      ],
    };
    const read = readImport(Buffer.from(JSON.stringify(body)), at);
    if (!('log' in read)) throw new Error('the import was refused');
    await this.daemon.conversations.import(read.log, read.flags);
  }

  /** A night: what is really gathered, and what its process would leave of it. */
  async #sleep(): Promise<void> {
    const { store } = this.daemon;
    const { ledger } = store;
    await ledger.turn(async () => {
      for (const night of await ledger.unfinished()) await ledger.discard(night);
      const { folder, plan } = await beginNight(this.#night);
      const flagged = await readFlagged(folder);
      const everyday = await readScenarioFile(folder, 'everyday');
      const gists = await readGists(folder);
      await ledger.discard(plan.night);
      const drafts = [
        ...flagged.map(({ flagId, chosen = '', context }) =>
          draftOf(`dream-f-${flagId}-0`, chosen, {
            origin: 'flag',
            id: flagId,
            cluster: context.source.cluster,
          }),
        ),
        ...gists.map(({ gist }) => {
          const seed = { origin: 'memory' as const, id: gist.id, cluster: gist.conversationId };
          return draftOf(`dream-${gist.id}`, gist.items[0]?.text ?? '', seed);
        }),
      ];
      const moments = flagged.flatMap((moment) => scenarioOf(moment) ?? []);
      const scenarios = [...moments, ...drafts.map(dreamOf)];
      const learnt = { flagged, everyday, gists, drafts, scenarios };
      const manifest = await commitNight(store, { ...learnt, hasDelta: scenarios.length > 0 });
      const { config, clock } = this.#night;
      const engine = this.daemon.engine;
      await finishNight(manifest, { engine, ledger, store, clock, settings: config.night });
    });
  }

  /** A night that was interrupted when all was gathered. */
  async #cut(): Promise<void> {
    const { ledger } = this.daemon.store;
    if ((await ledger.unfinished()).length > 0) return;
    await ledger.turn(() => beginNight(this.#night));
  }

  async #swap(which: number): Promise<void> {
    const all = await this.daemon.store.ledger.list();
    const nights = all.filter((_, at) => (which >> at) % 2 === 1).map(({ night }) => night);
    await this.daemon.nights.swapTo(nights).catch(() => undefined);
  }

  async #reword(which: number): Promise<void> {
    const { ledger } = this.daemon.store;
    const all = await ledger.list();
    const id = all[which % Math.max(1, all.length)]?.night;
    if (id === undefined) return;
    const { dreams } = await reviewView(ledger, id);
    const dreamId = dreams[which % Math.max(1, dreams.length)]?.id;
    if (dreamId === undefined) return;
    const request = { dreamId, chosen: `It is here. ${dreams[0]?.turns[0]?.content}` };
    const at = new Date().toISOString();
    await changeDream(ledger, id, { request, at }).catch(() => undefined);
  }

  async #restart(): Promise<void> {
    const { folder } = this.daemon;
    await this.daemon.stop();
    this.daemon = await openTestDaemon({ folder, config: CONFIG });
    this.#night = await nightOn(this.daemon);
  }

  /** Some decision about some night, where it is allowed. */
  async #decide(which: number): Promise<void> {
    const { nights, store } = this.daemon;
    const all = await store.ledger.list();
    const id = all[which % Math.max(1, all.length)]?.night;
    if (id === undefined) return;
    const decisions = [
      () => nights.approve(id),
      () => nights.reject(id),
      () => nights.revert(id),
      () => nights.swapTo([id]),
    ];
    await decisions[which % decisions.length]?.().catch(() => undefined);
  }
}

function draftOf(id: string, words: string, seed: Draft['seed']): Draft {
  return {
    ...{ id, kind: 'listen', spans: [], seed },
    messages: [{ role: 'user', content: words === '' ? 'Hello.' : words }],
    ...{ sampledShare: 0, prompt: { name: 'p', hash: 'h' } },
    angle: { domain: 'home', distance: 0 },
  };
}

const dreamOf = ({ id, kind, messages, seed }: Draft): Scenario =>
  parseScenario({
    ...{ id, kind, messages, chosen: `${messages[0]?.content} Yes.`, rejected: 'No.' },
    source: { origin: 'dream', cluster: seed.cluster, domain: 'home' },
  });

async function openPerson(): Promise<Person> {
  const daemon = await openTestDaemon({ config: CONFIG });
  return new Person(daemon, await nightOn(daemon));
}

const CONFIG = { chat: { learnFromApi: 'always' }, memory: { restMinutes: 0 } } as const;

async function nightOn({
  engine,
  store,
}: TestDaemon): Promise<Omit<NightServiceOptions, 'publish'>> {
  const night = { heldBackFrom: 3, heldBackOneIn: 3 };
  const loaded = await loadConfig({ options: { ...CONFIG, flag: night, night: { swap: 'auto' } } });
  return {
    ...{ config: loaded.config, store, engine, clock: systemClock, logger: silentLogger },
    encoding: fakeTokenizer.encoding,
    sampling: resolveSampling([loaded.config.chat.sampling]),
    surpriseOf: async () => undefined,
    paths: { modelDir: '/none', cacheDir: '/none', suiteFolder: '/none', promptsFolder: '/none' },
  };
}

/** Never within a hash, which has such letters by chance. */
const wordsIn = (text: string): string[] => text.match(/(?<![\w-])W\d+W(?![\w-])/g) ?? [];

/** Words that may be learnt: of conversations that may be, and of flags in them that stand. */
async function allowed({ store, conversations }: TestDaemon): Promise<Set<string>> {
  const words: string[] = [];
  for (const id of store.conversations.ids()) {
    if (!store.conversations.summary(id).canLearn) continue;
    const { entries } = await store.conversations.read(id);
    const standing = conversations.flags(id).filter((flag) => flag.withdrawnAt === null);
    words.push(...entries.flatMap(({ text }) => wordsIn(text)));
    words.push(...standing.flatMap(({ betterWords }) => wordsIn(betterWords ?? '')));
  }
  return new Set(words);
}

/** Words that are still said somewhere, whether they may be learnt or not. */
async function said({ store, conversations }: TestDaemon): Promise<Set<string>> {
  const words = new Set<string>();
  for (const id of store.conversations.ids()) {
    for await (const text of conversations.export(id))
      for (const word of wordsIn(text)) words.add(word);
  }
  return words;
}

/** Words of all files of the store by path. */
async function kept(folder: string): Promise<Map<string, string[]>> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = files.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const texts = await Promise.all(paths.map((path) => readFile(path, 'latin1')));
  return new Map(paths.map((path, at) => [path.slice(folder.length), wordsIn(texts[at] ?? '')]));
}

it('learns, shows and dreams of nothing that was taken back', async () => {
  const step = fc.record({ act: fc.constantFrom(...ACTS), which: fc.nat({ max: 11 }) });
  const steps = fc.array(step, { minLength: 6, maxLength: 16 });
  let learnt = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (list) => {
      const person = await openPerson();
      try {
        await person.do({ act: 'import', which: 0 });
        await person.do({ act: 'say', which: 0 });
        for (const one of list) await person.do(one);
        const { daemon } = person;
        await daemon.store.conversations.flush();
        const may = await allowed(daemon);
        const isSaid = await said(daemon);
        for (const [path, words] of await kept(daemon.folder)) {
          const isLearnt = path.startsWith('/ledger') || path === '/memory.json';
          if (isLearnt) learnt += words.length;
          const wrong = words.filter((word) => !(isLearnt ? may : isSaid).has(word));
          expect(wrong, path).toEqual([]);
        }
      } finally {
        await person.daemon.end();
      }
    }),
    { numRuns: Number(process.env.ATTUNE_TEST_RUNS ?? 30) },
  );
  // Otherwise it would say nothing.
  expect(learnt).toBeGreaterThan(100);
}, 3_600_000);
