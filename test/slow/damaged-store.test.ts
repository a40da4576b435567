// Every file of a store is damaged in every way, one at a time: the daemon starts, chats, exports and
// verifies, and a deletion still leaves no word.
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import { writeReview } from '../../src/ledger/deletion.ts';
import { finishNight } from '../../src/night/finish.ts';
import { beginNight } from '../../src/night/prepare.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { readFlagged, readGists } from '../../src/record/files.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { commitNight } from '../night/night-store.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

// A daemon is started for each of hundreds of damages.
vi.setConfig({ testTimeout: 3_600_000 });

/** Only those that match are tried, such as `flags.json, half`. */
const ONLY = new RegExp(process.env.ATTUNE_TEST_DAMAGES ?? '');

const DAMAGES: Readonly<
  Record<string, (path: string, bytes: Buffer) => Promise<unknown> | unknown>
> = {
  empty: (path) => writeFile(path, ''),
  half: (path, bytes) => writeFile(path, bytes.subarray(0, bytes.length / 2)),
  rubbish: (path) => writeFile(path, Buffer.from([0xff, 0xfe, 0, 0x7b, 0xc3, 0x28, 0x0a, 0x5b])),
  'another form': (path) => writeFile(path, '[{"id": 7, "schemaVersion": "one"}]\n'),
  'a later form': (path) => writeFile(path, '{"schemaVersion": 1, "data": {}, "files": 3}\n'),
  missing: (path) => rm(path),
  'a folder': async (path) => {
    await rm(path);
    await mkdir(path);
  },
  'a pipe': async (path) => {
    await rm(path);
    execFileSync('mkfifo', [path]);
  },
  'a loop': async (path) => {
    await rm(path);
    await symlink(path, path);
  },
};

let whole: string;
let files: string[];

beforeAll(async () => {
  const daemon = await openTestDaemon({ config: { memory: { restMinutes: 0 } } });
  whole = daemon.folder;
  await live(daemon);
  await daemon.stop();
  const found = await readdir(whole, { recursive: true, withFileTypes: true });
  files = found
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(whole.length + 1))
    .filter((path) => !path.startsWith('lock'))
    // The older night differs in its place in the chain alone.
    .filter((path) => !path.includes('n0001') || path.endsWith('manifest.json'))
    .sort();
});
afterAll(() => rm(whole, { recursive: true, force: true }));

/** Two conversations with flags, gists, two nights with words of both, one of them changed, and a third that was cut. */
async function live(daemon: TestDaemon): Promise<void> {
  const { store, conversations, engine, folder } = daemon;
  const client = await daemon.connect();
  for (const [id, word] of [
    ['a', 'walnut'],
    ['b', 'quince'],
  ] as const) {
    const { reply } = await client.say(id, `${id}-m`, `I promise to bring the ${word} jam.`);
    await conversations.addFlag({
      ...{ id: `flag-${id}`, conversationId: id, replyId: reply.id, kind: 'missed', strength: 2 },
      ...{ userSpan: null, replySpan: null, reason: null, betterWords: `Yes, ${word} jam.` },
    });
  }
  await client.say('gone', 'g', 'medlar');
  await conversations.delete('gone');
  await client.say('held', 'h', 'almond');
  await conversations.change('held', { canLearn: false });
  const options = { memory: { restMinutes: 0 }, flag: { heldBackFrom: 9 } } as const;
  const { config } = await loadConfig({ options });
  const nowhere = {
    modelDir: '/none',
    cacheDir: '/none',
    suiteFolder: '/none',
    promptsFolder: '/',
  };
  const parts = {
    ...{ config, store, engine, clock: systemClock, logger: silentLogger, paths: nowhere },
    ...{ encoding: fakeTokenizer.encoding, sampling: resolveSampling([config.chat.sampling]) },
    surpriseOf: async () => undefined,
  };
  const { ledger } = store;
  for (let count = 0; count < 2; count++) {
    const begun = await beginNight(parts);
    const flagged = await readFlagged(begun.folder);
    const gists = await readGists(begun.folder);
    await ledger.discard(begun.plan.night);
    const scenarios = ['a', 'b'].map((cluster) =>
      parseScenario({
        ...{ id: `dream-flag-${cluster}`, kind: 'listen', chosen: 'Yes.', rejected: 'No.' },
        messages: [{ role: 'user', content: cluster === 'a' ? 'walnut' : 'quince' }],
        source: { origin: 'dream', cluster, domain: 'home' },
      }),
    );
    const manifest = await commitNight(store, { flagged, gists, scenarios });
    const { night: settings } = config;
    await finishNight(manifest, { engine, ledger, store, clock: systemClock, settings });
    const at = new Date().toISOString();
    const change = { id: 'dream-flag-a', cluster: 'a', at, isDropped: false, chosen: 'walnut' };
    await writeReview(ledger, manifest.night, [change]);
  }
  await beginNight(parts);
  expect(execFileSync('grep', ['-rl', 'walnut', folder], { encoding: 'utf8' })).toContain('memory');
}

async function ask(daemon: TestDaemon, path: string, method = 'GET'): Promise<number> {
  const headers = { 'Content-Type': 'application/json' };
  const body = method === 'POST' ? { body: '{}' } : {};
  const response = await fetch(daemon.url + path, { method, headers, ...body });
  const text = await response.text();
  // A coded answer says what is damaged; anything else is a mistake of ours.
  expect(text, path).not.toContain('internal-error');
  return response.status;
}

/** What does not hold; undefined: all of it does. */
async function wrongAfter(path: string, damage: string): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'attune-damaged-'));
  let daemon: TestDaemon | undefined;
  try {
    await cp(whole, folder, { recursive: true });
    const there = join(folder, path);
    await DAMAGES[damage]?.(there, await readFile(there));
    daemon = await openTestDaemon({ folder });
    const nights = daemon.store.ledgers.flatMap(({ folder: { path: ledger } }) => ledger);
    expect(nights).not.toEqual([]);
    for (const route of [
      'conversations',
      'nights',
      'memory',
      'flags',
      'export',
      'search?query=jam',
    ])
      expect(await ask(daemon, `/api/${route}`), route).toBe(200);
    expect(await ask(daemon, '/api/nights/verify', 'POST')).toBe(200);
    for (const id of await readdir(join(daemon.store.ledger.folder.path, 'nights')))
      for (const part of ['', '/review', '/blind']) await ask(daemon, `/api/nights/${id}${part}`);
    const client = await daemon.connect();
    const mine = path.includes('/b.jsonl') ? 'new' : 'b';
    const { reply } = await client.say(mine, 'again', 'hello');
    expect(reply.text).toBe('You said: hello');
    if (daemon.store.conversations.has('held'))
      expect(daemon.store.conversations.summary('held').canLearn).toBe(false);
    if (path.includes('/a.jsonl')) return undefined;
    expect([200, 202]).toContain(await ask(daemon, '/api/conversations/a', 'DELETE'));
    await daemon.stop();
    daemon = await openTestDaemon({ folder });
    expect(daemon.store.conversations.has('a')).toBe(false);
    expect(await ask(daemon, '/api/nights/verify', 'POST')).toBe(200);
    expect(await wordsLeft(folder)).toEqual([]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
  } finally {
    await daemon?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function wordsLeft(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const left: string[] = [];
  for (const one of found.filter((entry) => entry.isFile())) {
    const path = join(one.parentPath, one.name);
    if ((await readFile(path)).includes('walnut')) left.push(path.slice(folder.length));
  }
  return left;
}

it('a damaged file costs what is in it, and nothing else', async () => {
  expect(files.length).toBeGreaterThan(20);
  const wrong: string[] = [];
  for (const path of files) {
    for (const damage of Object.keys(DAMAGES)) {
      if (!ONLY.test(`${path}, ${damage}`)) continue;
      const why = await wrongAfter(path, damage);
      if (why !== undefined) wrong.push(`${path}, ${damage}: ${why}`);
    }
  }
  expect(wrong).toEqual([]);
});
