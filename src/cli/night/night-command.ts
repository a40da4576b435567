// `attune night …`, `attune summary`, `attune swap`: nights from the command line.
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { installationFolder } from '../../config/load.ts';
import { readLedgers } from '../../ledger/ledgers.ts';
import { type StoreVerification, verifyLedgers } from '../../ledger/verify.ts';
import { summaryMarkdown } from '../../morning/summary-markdown.ts';
import { fixed } from '../../protocol/number-text.ts';
import { progressText } from '../../protocol/progress-text.ts';
import {
  type BlindPair,
  BlindView,
  NightList,
  NightView,
  type ReviewedDream,
  type ReviewRequest,
  ReviewView,
} from '../../protocol/summary.ts';
import { NIGHT_FILES } from '../../record/files.ts';
import { printable } from '../chat/terminal.ts';
import { readConfig } from '../configuration.ts';
import { type Asked, daemonCommands, type HttpClient, type Printed } from '../daemon.ts';
import { say } from '../report.ts';
import { followNight, startNight } from './follow-night.ts';

const findingSchema = z.object({
  night: z.string().nullable(),
  kind: z.string(),
  text: z.string(),
});
const verificationSchema = z.object({
  isSound: z.boolean(),
  ledgers: z.array(
    z.object({
      base: z.string(),
      nights: z.number(),
      isSound: z.boolean(),
      findings: z.array(findingSchema),
    }),
  ),
});
const swapSchema = z.object({
  from: z.string(),
  to: z.string(),
  stallMs: z.number(),
  upstream: z.string().optional(),
});

const DECISIONS = {
  approve: 'use the weights of a waiting night',
  reject: 'do not use the weights of a waiting night',
  revert: 'remove a night from the active weights',
};

export function registerNight(program: Command): void {
  const night = program
    .command('night')
    .description('run nights, inspect them and decide about them');
  const add = daemonCommands(night);
  const beside = daemonCommands(program);
  const following =
    'start a night or go on with a stopped one, or join the one that runs; follow it';
  add('run', following, run).option('--detach', 'return at once');
  add('stop', 'stop the running night; the next run goes on where it was', stop);
  add('list', 'list all nights', list);
  for (const command of [add('show [id]', SHOW, show), beside('summary [id]', SHOW, show)]) {
    command.option('--all', 'include the replies that are still to be judged blind');
  }
  for (const [decision, description] of Object.entries(DECISIONS)) {
    add(`${decision} <id>`, description, ({ client }, id: string) => decide(client, id, decision));
  }
  add('review <id>', 'list the dreams that a night trained on', review);
  add('drop <id> <dreams...>', 'drop dreams, by their number in `review`', drop).option(
    '--undo',
    'restore dropped dreams',
  );
  add('edit <id> <dream> [words...]', EDIT, edit);
  add('retrain <id>', 'train a night again with your changes, and follow it', retrain).option(
    '--job <folder>',
    'take what a job of `export-job` has trained of it elsewhere',
  );
  add('export-job [id]', EXPORT_JOB, exportJob).requiredOption('--to <folder>', 'where');
  add('blind <id>', 'judge old and new replies without knowing which is which', blind);
  add('verify', 'check the hash chain, every file and every delta, of all base models', verify);
  beside('swap', 'switch to other weights now', swap)
    .option('--to <nights...>', 'nights to apply, in order')
    .option('--base', 'use the base model without any night');
}

const SHOW = 'print the summary of a night (default: the last one)';
const EXPORT_JOB =
  'write the lessons of a night (default: the last one) as a job for PyTorch on another machine';
const EDIT = 'reword the listening reply of a dream; without words, restore it';

type Shown = Asked<{ readonly all?: boolean }>;

async function run(asked: Shown & Asked<{ readonly detach?: boolean }>): Promise<Printed> {
  const { address, options } = asked;
  if (options.detach === true) {
    const nightId = await startNight(address);
    return { answer: { nightId }, lines: [nightId] };
  }
  const nightId = await followNight(address);
  say(nightId);
  return show(asked, nightId);
}

async function stop({ client }: Asked): Promise<Printed> {
  const answer = await client.post('/api/nights/stop', {}, z.object({ nightId: z.string() }));
  return { answer, lines: [`${answer.nightId}: stopped. Go on: attune night run`] };
}

const TAKEN_BACK = 'has learnt from words that you took back since:';

async function list({ client, address }: Asked): Promise<Printed> {
  const answer = await client.get('/api/nights', NightList);
  const { total } = answer.offered;
  const lines = [
    ...(answer.nights.length === 0 ? ['There are no nights of this model yet.'] : []),
    ...answer.nights.flatMap(({ nightId, status, headline, remedy }) => [
      `${nightId}  ${status.padEnd(9)}  ${headline}`,
      ...(remedy === null ? [] : [`  ${TAKEN_BACK} attune night ${remedy} ${nightId}`]),
    ]),
    ...nowLines(answer),
    ...(total === 0
      ? []
      : [`${total} conversations came over the API: ${address.url}/nights asks about them`]),
    `active weights: ${answer.version}`,
    ...answer.problems.map((problem) => `problem: ${problem}`),
  ];
  return { answer, lines };
}

/** What of the nights is now, and next. */
export function nowLines({ nights, running, stopped, nextAt }: NightList): string[] {
  const waiting = nights.filter(({ status }) => status === 'waiting');
  const next = nextAt === null ? [] : [`next night: ${new Date(nextAt).toLocaleString()}`];
  return [
    ...waiting.map(({ nightId }) => `waits for you: attune night show ${nightId}`),
    ...(running === null ? [] : [`running: ${running.nightId}, ${progressText(running)}`]),
    ...(stopped === null ? [] : [`stopped: ${stopped}. Go on: attune night run`]),
    ...next,
  ];
}

async function show({ client, address, options }: Shown, id?: string): Promise<Printed> {
  const wanted = id ?? (await lastNight(client));
  const answer = await client.get(pathOf(wanted), NightView);
  const { pairs } = await client.get(pathOf(wanted, '/blind'), BlindView);
  // At a terminal, old and new replies are not shown before they were judged blind.
  const isBlind = pairs.length > 0 && process.stdout.isTTY && options.all !== true;
  const replies = answer.replies && { ...answer.replies, samples: [] };
  const lines = [
    summaryMarkdown({ ...answer, replies, flagged: isBlind ? [] : answer.flagged }),
    ...(isBlind
      ? [`${pairs.length} pairs of replies to judge blind: attune night blind ${wanted}\n`]
      : []),
    `${answer.status} · ${address.url}/nights/${wanted}`,
  ];
  return { answer, lines };
}

const pathOf = (id: string, what = ''): string => `/api/nights/${encodeURIComponent(id)}${what}`;

async function lastNight(client: HttpClient): Promise<string> {
  const last = (await client.get('/api/nights', NightList)).nights.at(-1);
  if (last !== undefined) return last.nightId;
  const message = 'There are no nights of this model yet. Start one with: attune night run';
  throw new AttuneError('night-unknown', message);
}

async function decide(client: HttpClient, id: string, decision: string): Promise<Printed> {
  const answer = await client.post(pathOf(id, `/${decision}`), {}, z.unknown());
  const swapped = swapSchema.safeParse(answer);
  return { answer, lines: [swapped.success ? swapLine(swapped.data) : `${id}: done`] };
}

const swapLine = ({ from, to, stallMs, upstream }: z.infer<typeof swapSchema>): string =>
  `${from} → ${to} (stall ${fixed(stallMs, 1)} ms)${upstream === undefined ? '' : `\n${upstream}`}`;

async function verify({ client, options }: Asked): Promise<Printed> {
  const answer = await client
    .post('/api/nights/verify', {}, verificationSchema)
    .catch((error: unknown) => {
      if (!isAttuneError(error, 'daemon-unreachable') || options.url !== undefined) throw error;
      return verifyStore(options);
    });
  if (!answer.isSound) process.exitCode = 1;
  const lines = answer.ledgers.flatMap(({ base, nights, isSound, findings }) => [
    ...findings.map(({ night, kind, text }) => `${night ?? 'ledger'}: ${kind}: ${text}`),
    `base-${base.slice(0, 12)}: ${nights} nights, ${isSound ? 'sound' : 'DAMAGED'}`,
  ]);
  return { answer, lines };
}

/** Without a daemon: the ledgers of the configured store, as they are. */
async function verifyStore(options: Asked['options']): Promise<StoreVerification> {
  const { config } = await readConfig(options);
  const folder = join(resolve(config.store.path), 'ledger');
  return verifyLedgers(await readLedgers(folder, { files: NIGHT_FILES }));
}

type Swapping = Asked<{ readonly to?: string[]; readonly base?: boolean }>;

async function swap({ client, options: { to, base } }: Swapping): Promise<Printed> {
  if ((to === undefined) === (base !== true)) {
    throw new AttuneError('config-invalid', 'Give either --to NIGHT… or --base.');
  }
  const answer = await client.post('/api/swap', { nights: base ? [] : to }, swapSchema);
  return { answer, lines: [swapLine(answer)] };
}

async function review({ client }: Asked, id: string): Promise<Printed> {
  const answer = await client.get(pathOf(id, '/review'), ReviewView);
  return { answer, lines: [...answer.dreams.map(dreamText), footer(answer)] };
}

function dreamText(dream: ReviewedDream): string {
  const { number, kind, turns, chosen, rejected, isDropped, isReworded, pairId } = dream;
  const marks = [
    isDropped ? 'DROPPED' : '',
    isReworded ? 'reworded' : '',
    pairId === null ? '' : 'one of a pair',
  ].filter((mark) => mark !== '');
  const said = turns.map(
    ({ role, content }) => `      ${role === 'user' ? 'you   ' : 'attune'} ${printable(content)}`,
  );
  return [
    `${String(number).padStart(4)}  ${kind}${marks.length === 0 ? '' : `  (${marks.join(', ')})`}`,
    ...said,
    `    + ${printable(chosen)}`,
    ...(rejected === null ? [] : [`    − ${printable(rejected)}`]),
    '',
  ].join('\n');
}

function footer({ nightId, dreams, changes, canChange }: ReviewView): string {
  if (dreams.length === 0) return 'This night trained on no dreams.';
  if (!canChange) return 'This night is decided; its dreams can no longer be changed.';
  const commands = `attune night drop ${nightId} NUMBER…, attune night edit ${nightId} NUMBER WORDS`;
  if (changes === 0) return `To change them: ${commands}`;
  return `${changes} changed. Train again with: attune night retrain ${nightId}`;
}

/** Dreams by their number in the list, or by their id. */
function pick(view: ReviewView, name: string): ReviewedDream {
  const dream = view.dreams.find(({ id, number }) => id === name || String(number) === name);
  if (dream !== undefined) return dream;
  const message = `${view.nightId} has no dream ${name}; it has dreams 1 to ${view.dreams.length}.`;
  throw new AttuneError('night-unknown', message, { id: view.nightId });
}

async function change(
  client: HttpClient,
  { id, dreams }: { readonly id: string; readonly dreams: readonly string[] },
  request: Omit<ReviewRequest, 'dreamId'>,
): Promise<Printed> {
  let answer = await client.get(pathOf(id, '/review'), ReviewView);
  const bodies = dreams.map((name) => ({ dreamId: pick(answer, name).id, ...request }));
  for (const body of bodies) answer = await client.post(pathOf(id, '/review'), body, ReviewView);
  return { answer, lines: [footer(answer)] };
}

type Dropping = Asked<{ readonly undo?: boolean }>;

const drop = ({ client, options }: Dropping, id: string, dreams: string[]): Promise<Printed> =>
  change(client, { id, dreams }, { isDropped: options.undo !== true });

function edit({ client }: Asked, id: string, dream: string, words: string[]): Promise<Printed> {
  const chosen = words.length === 0 ? null : words.join(' ');
  return change(client, { id, dreams: [dream] }, { chosen });
}

type Retraining = Asked<{ readonly job?: string }>;

async function retrain({ address, options }: Retraining, id: string): Promise<Printed> {
  const job = options.job === undefined ? {} : { job: resolve(options.job) };
  const nightId = await followNight(address, { id, ...job });
  return { answer: { nightId }, lines: [`${nightId}: attune night show ${nightId}`] };
}

/** From the store itself, whether a daemon runs or not. */
async function exportJob({ options }: Asked<{ readonly to: string }>, id?: string) {
  const { config } = await readConfig(options);
  const ledgers = await readLedgers(join(resolve(config.store.path), 'ledger'), {
    files: NIGHT_FILES,
  });
  const found = [];
  for (const ledger of ledgers) {
    for (const { night, endedAt } of await ledger.list()) {
      if (id === undefined || id === night) found.push({ ledger, night, endedAt });
    }
  }
  const [last] = found.sort((a, b) => b.endedAt.localeCompare(a.endedAt));
  if (last === undefined) {
    const message = `There is no night ${id ?? 'yet'} in ${config.store.path}.`;
    throw new AttuneError('night-unknown', message);
  }
  const { writeJob } = await import('../../night/job.ts');
  const programs = join(installationFolder, 'experiments', 'reference');
  const to = { folder: resolve(options.to), programs, config };
  const answer = { night: last.night, ...(await writeJob(last.ledger, last.night, to)) };
  const { folder, lessons, holds } = answer;
  const lines = [
    `${folder}: ${lessons} lessons and ${holds} holds of ${last.night}.`,
    'They are words of your conversations: delete the folder when it has come back.',
    `Where the model is: python job.py MODEL. Back here: attune night retrain ${last.night} --job ${folder}`,
  ];
  return { answer, lines };
}

async function blind({ client, options }: Asked, id: string): Promise<Printed> {
  let answer = await client.get(pathOf(id, '/blind'), BlindView);
  if (options.json) return { answer, lines: [] };
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (let pair = answer.pairs[0]; pair !== undefined; pair = answer.pairs[0]) {
      say(pairText(pair));
      const said = (await prompt.question('Which one listens better? a, b or s (same): ')).trim();
      const choice = z
        .enum(['a', 'b', 'same'])
        .safeParse(said.startsWith('s') ? 'same' : said.toLowerCase()).data;
      if (choice === undefined) continue;
      const { flagId } = pair;
      answer = await client.post(pathOf(id, '/blind'), { flagId, choice }, BlindView);
    }
  } finally {
    prompt.close();
  }
  return { answer, lines: [tallyText(answer)] };
}

const pairText = ({ direction, asked, a, b }: BlindPair): string =>
  `\n“${printable(direction)}”${asked && `, then: “${printable(asked)}”`}\n  a  ${printable(a)}\n  b  ${printable(b)}`;

function tallyText({ tally, isVeto }: BlindView): string {
  if (tally === null) return 'No reply of this night can be compared.';
  const { old, new: newer, same } = tally;
  const veto = isVeto ? ' The old replies were preferred: this night should not be used.' : '';
  return `\nYou preferred the new reply ${newer} times, the old one ${old} times; ${same} the same.${veto}`;
}
