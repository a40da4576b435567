// Kills the real daemon with SIGKILL while people do all that can be done, again and again, and looks
// whether anything that was acknowledged is missing, there twice, or different.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createRandom, type Random } from '../../src/base/random.ts';
import { installationFolder } from '../../src/config/load.ts';
import type { ConversationSummary } from '../../src/protocol/conversation.ts';
import type { Flag } from '../../src/protocol/flag.ts';
import { ask, Failure, Person, Sleeper } from './person.ts';

const PEOPLE = 3;
/** On a busy machine a start that takes one second of CPU time has taken more than two minutes. */
const READY_TIMEOUT_MS = 600_000;
/** Of as many rounds the last two are long and take nothing back, so that a night can end. */
const BLOCK = 10;
const LONG_MS = 8_000;
const SHORT_MS = 3_000;

/** How often each was acknowledged. */
export type KillReport = Readonly<Record<string, number>>;

export interface Running {
  readonly process: ChildProcess;
  readonly port: number;
}

const SMALL_NIGHTS = [
  ...['night.isEnabled=false', 'night.swap=review', 'night.dreamsMax=4', 'memory.restMinutes=0'],
  ...['train.warmupSteps=0', 'train.epochsMax=1', 'train.batchSize=2', 'train.checkpointSteps=1'],
  ...['measure.pairs=2', 'measure.heldReplies=2', 'measure.resamples=200'],
  ...['dream.rehearsalTalks=1', 'chat.learnFromApi=always'],
];

/** The compiled daemon on a store, once it is ready. */
export async function start(
  store: string,
  modelDir: string,
  settings: readonly string[] = [],
): Promise<Running> {
  const child = spawn(
    process.execPath,
    [
      ...['--report-on-signal', `--report-directory=${tmpdir()}`],
      ...[join(installationFolder, 'dist', 'cli', 'main.js'), 'start'],
      ...['--set', `store.path=${store}`, `model.path=${modelDir}`, 'server.port=0'],
      ...['chat.replyTokensMax=12', 'engine.threads=1', 'logger.level=error', ...SMALL_NIGHTS],
      ...settings,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const port = await new Promise<number>((resolve, reject) => {
    let output = '';
    // What it is doing instead: a report of its stacks and handles.
    const timer = setTimeout(() => {
      child.kill('SIGUSR2');
      const why = `process ${child.pid} was not ready in ${READY_TIMEOUT_MS} ms`;
      const error = new Error(`${why} under a load of ${loadavg().join(', ')}: ${output}`);
      setTimeout(() => reject(error), 5_000);
    }, READY_TIMEOUT_MS);
    child.stdout.on('data', (piece: Buffer) => {
      output += piece.toString();
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(Number(found));
    });
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${output}`)));
  });
  return { process: child, port };
}

export async function kill({ process: child }: Running): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** What somebody does until the daemon is gone. @throws what ends it earlier, and Failure */
async function until(isKilled: () => boolean, life: Promise<never>): Promise<void> {
  await life.catch((error: unknown) => {
    if (error instanceof Failure || !isKilled()) throw error;
  });
}

export interface KillOptions {
  /** Kills at random points of one store's life. */
  readonly rounds: number;
  /** Whole ones, before the first kill: decisions are about these. */
  readonly nights: number;
  readonly onRound?: (count: number) => void;
}

/** @throws when something acknowledged is not kept, or something taken back is; the store stays */
export async function killLoop(
  modelDir: string,
  { rounds, nights, onRound = () => undefined }: KillOptions,
): Promise<KillReport> {
  const store = await mkdtemp(join(tmpdir(), 'attune-kill-'));
  const random = createRandom('kill');
  const sleeper = new Sleeper(random.split('sleeper'));
  const all: Person[] = [];
  let people: Person[] = [];
  let running: Running | undefined;
  try {
    running = await start(store, modelDir);
    await sleeper.sleep(running.port, nights);
    await kill(running);
    for (let count = 0; count < rounds; count++) {
      // New people now and then, so that beginnings are hit as often as ends.
      if (count % BLOCK === 0) {
        const names = Array.from({ length: PEOPLE }, (_, at) => `p${count}-${at}`);
        people = names.map((name) => new Person(name, random.split(name)));
        all.push(...people);
      }
      running = await start(store, modelDir);
      await round(running, { people, sleeper, random, at: count % BLOCK });
      onRound(count + 1);
    }
    running = await start(store, modelDir);
    for (const one of [...all, sleeper]) await one.verify(running.port);
    const words = await wordsOf(running.port);
    await kill(running);
    await assertForgotten(store, words);
    await rm(store, { recursive: true, force: true });
  } catch (cause) {
    throw new Error(`The store is kept in ${store}.`, { cause });
  } finally {
    running?.process.kill('SIGKILL');
  }
  const report: Record<string, number> = { rounds };
  for (const [what, times] of [...all, sleeper].flatMap(({ counts }) => Object.entries(counts))) {
    report[what] = (report[what] ?? 0) + times;
  }
  return report;
}

interface Round {
  readonly people: readonly Person[];
  readonly sleeper: Sleeper;
  readonly random: Random;
  readonly at: number;
}

async function round(running: Running, { people, sleeper, random, at }: Round): Promise<void> {
  const { port } = running;
  for (const one of [...people, sleeper]) await one.verify(port);
  const isLong = at >= BLOCK - 2;
  let isGone = false;
  const lives = [
    sleeper.live(port),
    ...people.map((one) => one.live(port, isLong ? ['say'] : undefined)),
  ];
  const living = Promise.all(lives.map((life) => until(() => isGone, life)));
  const longest = isLong ? LONG_MS : SHORT_MS;
  await Promise.race([living, delay(20 + random.uniform() * longest)]);
  isGone = true;
  await kill(running);
  await living;
}

interface Words {
  /** Still said somewhere. */
  readonly said: ReadonlySet<string>;
  /** Of conversations that may be learnt from, and of flags in them that stand. */
  readonly open: ReadonlySet<string>;
}

/** Never within a hash, which has such letters by chance. */
const wordsIn = (text: string): string[] => text.match(/(?<![\w-])W\d+W(?![\w-])/g) ?? [];

async function wordsOf(port: number): Promise<Words> {
  const said = new Set<string>();
  const open = new Set<string>();
  let cursor = '';
  do {
    const { body } = await ask(port, `/api/conversations?limit=100${cursor}`);
    const page = body as { conversations: ConversationSummary[]; nextCursor: string | null };
    for (const { id, canLearn } of page.conversations) {
      const { body: whole } = await ask(port, `/api/conversations/${id}`);
      const { body: listed } = await ask(port, `/api/flags?conversationId=${id}`);
      const { flags } = listed as { flags: Flag[] };
      const standing = flags.filter(({ withdrawnAt }) => withdrawnAt === null);
      const history = wordsIn(JSON.stringify(whole));
      for (const word of [...history, ...wordsIn(JSON.stringify(flags))]) said.add(word);
      if (!canLearn) continue;
      for (const word of [...history, ...wordsIn(JSON.stringify(standing))]) open.add(word);
    }
    cursor = page.nextCursor === null ? '' : `&cursor=${encodeURIComponent(page.nextCursor)}`;
  } while (cursor !== '');
  return { said, open };
}

/** @throws Failure when a file has words of what was deleted, or learns what was taken back */
async function assertForgotten(store: string, { said, open }: Words): Promise<void> {
  const files = await readdir(store, { recursive: true, withFileTypes: true });
  for (const file of files.filter((one) => one.isFile())) {
    const path = join(file.parentPath, file.name).slice(store.length);
    const isLearnt = path.startsWith('/ledger') || path === '/memory.json';
    const words = wordsIn(await readFile(join(store, path), 'latin1'));
    const wrong = words.filter((word) => !(isLearnt ? open : said).has(word));
    if (wrong.length > 0) throw new Failure(`${path} still has ${[...new Set(wrong)].join(', ')}`);
  }
}
