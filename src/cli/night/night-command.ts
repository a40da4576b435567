// `attune night …`, `attune summary`, `attune swap`: nights from the command line.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { readLedgers } from '../../ledger/ledgers.ts';
import { type StoreVerification, verifyLedgers } from '../../ledger/verify.ts';
import { summaryMarkdown } from '../../morning/summary-markdown.ts';
import { fixed } from '../../protocol/number-text.ts';
import { progressText } from '../../protocol/progress-text.ts';
import { BlindView, NightList, NightView } from '../../protocol/summary.ts';
import { NIGHT_FILES } from '../../record/files.ts';
import { type Address, type AddressOptions, addAddressOptions, findDaemon } from '../address.ts';
import { printable } from '../chat/terminal.ts';
import { readConfig } from '../configuration.ts';
import { HttpClient } from '../http-client.ts';
import { say } from '../report.ts';
import { followNight, startNight } from './follow-night.ts';
import { registerReview } from './night-review.ts';

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
const swapSchema = z.object({ from: z.string(), to: z.string(), stallMs: z.number() });

const DECISIONS = {
  approve: 'use the weights of a waiting night',
  reject: 'do not use the weights of a waiting night',
  revert: 'remove a night from the active weights',
};

type Options = AddressOptions & { json?: boolean };
type ShowOptions = Options & { all?: boolean };

export function registerNight(program: Command): void {
  const located = (parent: Command, name: string, description: string): Command =>
    addAddressOptions(parent.command(name)).description(description).option('--json', 'print JSON');
  const night = program
    .command('night')
    .description('run nights, inspect them and decide about them');
  const command = (name: string, description: string): Command => located(night, name, description);

  command('run', 'start a night or go on with a stopped one, or join the one that runs; follow it')
    .option('--detach', 'return at once')
    .action(run);
  command('stop', 'stop the running night; the next run goes on where it was').action(stop);
  command('list', 'list all nights').action(list);
  command('show [id]', 'print the summary of a night (default: the last one)')
    .option('--all', 'include the replies that are still to be judged blind')
    .action(show);
  for (const [decision, description] of Object.entries(DECISIONS)) {
    command(`${decision} <id>`, description).action((id: string, options: Options) =>
      decide(id, decision, options),
    );
  }
  registerReview(command);
  command('verify', 'check the hash chain, every file and every delta, of all base models').action(
    verify,
  );
  located(program, 'summary [id]', 'print the summary of a night (default: the last one)')
    .option('--all', 'include the replies that are still to be judged blind')
    .action(show);
  located(program, 'swap', 'switch to other weights now')
    .option('--to <nights...>', 'nights to apply, in order')
    .option('--base', 'use the base model without any night')
    .action(swap);
}

async function run(options: Options & { detach?: boolean }): Promise<void> {
  const address = await findDaemon(options);
  if (options.detach === true) return say(await startNight(address));
  const nightId = await followNight(address);
  say(nightId);
  await show(nightId, options);
}

async function stop(options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const { nightId } = await client.post('/api/nights/stop', {}, z.object({ nightId: z.string() }));
  say(options.json ? JSON.stringify({ nightId }) : `${nightId}: stopped. Go on: attune night run`);
}

const TAKEN_BACK = 'has learnt from words that you took back since:';

async function list(options: Options): Promise<void> {
  const address = await findDaemon(options);
  const answer = await new HttpClient(address).get('/api/nights', NightList);
  if (options.json) return say(JSON.stringify(answer, null, 2));
  if (answer.nights.length === 0) say('There are no nights of this model yet.');
  for (const { nightId, status, headline, remedy } of answer.nights) {
    say(`${nightId}  ${status.padEnd(9)}  ${headline}`);
    if (remedy !== null) say(`  ${TAKEN_BACK} attune night ${remedy} ${nightId}`);
  }
  for (const line of nowLines(answer)) say(line);
  const { total } = answer.offered;
  if (total > 0) {
    say(`${total} conversations came over the API: ${address.url}/nights asks about them`);
  }
  say(`active weights: ${answer.version}`);
  for (const problem of answer.problems) say(`problem: ${problem}`);
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

async function show(id: string | undefined, options: ShowOptions): Promise<void> {
  const address = await findDaemon(options);
  const wanted = id ?? (await lastNight(address));
  const client = new HttpClient(address);
  const summary = await client.get(`/api/nights/${encodeURIComponent(wanted)}`, NightView);
  if (options.json) return say(JSON.stringify(summary, null, 2));
  const { pairs } = await client.get(`/api/nights/${wanted}/blind`, BlindView);
  // At a terminal, old and new replies are not shown before they were judged blind.
  const isBlind = pairs.length > 0 && process.stdout.isTTY && options.all !== true;
  const replies = summary.replies && { ...summary.replies, samples: [] };
  const shown = { ...summary, replies, flagged: isBlind ? [] : summary.flagged };
  say(printable(summaryMarkdown(shown)));
  if (isBlind)
    say(`${pairs.length} pairs of replies to judge blind: attune night blind ${wanted}\n`);
  say(`${summary.status} · ${address.url}/nights/${wanted}`);
}

async function lastNight(address: Address): Promise<string> {
  const { nights } = await new HttpClient(address).get('/api/nights', NightList);
  const last = nights.at(-1);
  if (last !== undefined) return last.nightId;
  const message = 'There are no nights of this model yet. Start one with: attune night run';
  throw new AttuneError('night-unknown', message);
}

async function decide(id: string, decision: string, options: Options): Promise<void> {
  const path = `/api/nights/${encodeURIComponent(id)}/${decision}`;
  const client = new HttpClient(await findDaemon(options));
  const answer = await client.post(path, {}, z.unknown());
  if (options.json) return say(JSON.stringify(answer));
  const swapped = swapSchema.safeParse(answer);
  say(swapped.success ? swapLine(swapped.data) : `${id}: done`);
}

const swapLine = ({ from, to, stallMs }: z.infer<typeof swapSchema>): string =>
  `${from} → ${to} (stall ${fixed(stallMs, 1)} ms)`;

async function verify(options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const answer = await client
    .post('/api/nights/verify', {}, verificationSchema)
    .catch((error: unknown) => {
      if (!isAttuneError(error, 'daemon-unreachable') || options.url !== undefined) throw error;
      return verifyStore(options);
    });
  if (options.json) say(JSON.stringify(answer, null, 2));
  for (const { base, nights, isSound, findings } of options.json ? [] : answer.ledgers) {
    for (const { night, kind, text } of findings) say(`${night ?? 'ledger'}: ${kind}: ${text}`);
    say(`base-${base.slice(0, 12)}: ${nights} nights, ${isSound ? 'sound' : 'DAMAGED'}`);
  }
  if (!answer.isSound) process.exitCode = 1;
}

/** Without a daemon: the ledgers of the configured store, as they are. */
async function verifyStore(options: Options): Promise<StoreVerification> {
  const { config } = await readConfig(options);
  const folder = join(resolve(config.store.path), 'ledger');
  return verifyLedgers(await readLedgers(folder, { files: NIGHT_FILES }));
}

async function swap(options: Options & { to?: string[]; base?: boolean }): Promise<void> {
  if ((options.to === undefined) === (options.base !== true)) {
    throw new AttuneError('config-invalid', 'Give either --to NIGHT… or --base.');
  }
  const nights = options.base ? [] : options.to;
  const client = new HttpClient(await findDaemon(options));
  const answer = await client.post('/api/swap', { nights }, swapSchema);
  say(options.json ? JSON.stringify(answer) : swapLine(answer));
}
