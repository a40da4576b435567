// `attune night …`, `attune summary`, `attune swap`: nights from the command line, over the wire.
import type { Command } from 'commander';
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import type { NightProgress } from '../protocol/night.ts';
import { NightList, NightSummary } from '../protocol/summary.ts';
import { type Address, type AddressOptions, findDaemon } from './address.ts';
import { callDaemon } from './call.ts';
import { summaryText } from './summary-text.ts';
import { Wire } from './wire.ts';

const verificationSchema = z.object({
  nights: z.number(),
  isSound: z.boolean(),
  findings: z.array(z.object({ night: z.string().nullable(), kind: z.string(), text: z.string() })),
});
const swapSchema = z.object({ from: z.string(), to: z.string(), stallMs: z.number() });

type Options = AddressOptions & { json?: boolean };

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export function registerNight(program: Command): void {
  const night = program.command('night').description('dream and train, look at nights, decide');
  const command = (name: string, description: string): Command =>
    located(night.command(name).description(description));

  command('run', 'start a night now (or resume one that was cut off) and follow it')
    .option('--detach', 'do not wait for its end')
    .action(async (options: Options & { detach?: boolean }) => run(options));
  command('list', 'all nights').action(async (options: Options) => list(options));
  command('show [id]', 'the summary of a night; the last one when none is named').action(show);
  command('approve <id>', 'take the weights of a waiting night into use').action(
    async (id: string, options: Options) => decide(id, 'approve', options),
  );
  command('reject <id>', 'leave the weights of a waiting night unused').action(
    async (id: string, options: Options) => decide(id, 'reject', options),
  );
  command('revert <id>', 'leave a night out of the weights in force').action(
    async (id: string, options: Options) => decide(id, 'revert', options),
  );
  command('verify', 'check the hash chain, every file and every delta').action(verify);
  located(program.command('summary [id]').description("the morning's summary")).action(show);
  located(program.command('swap').description('go to other weights now'))
    .option('--to <nights...>', 'ids of the nights to be in force, in order')
    .option('--base', 'the base model, without any night')
    .action(swap);
}

function located(command: Command): Command {
  return command
    .option('--url <address>', 'where the daemon is, such as http://127.0.0.1:4747')
    .option('--config <file>', 'configuration file')
    .option('--json', 'print JSON');
}

async function run(options: Options & { detach?: boolean }): Promise<void> {
  const address = await findDaemon(options);
  const followed = options.detach === true ? undefined : await follow(address);
  const { nightId } = z
    .object({ nightId: z.string() })
    .parse(await callDaemon(address, '/api/nights/run', {}));
  say(nightId);
  if (followed === undefined) return;
  try {
    await followed.ended;
  } finally {
    followed.close();
  }
  await show(nightId, options);
}

/** Listens to a night's progress; one line a phase, a counter within it where it is a terminal. */
async function follow(address: Address): Promise<{ ended: Promise<void>; close(): void }> {
  let end: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const counter = createCounter();
  const wire = new Wire({
    ...address,
    client: 'attune-night',
    onMessage(message) {
      if (message.type === 'night-progress') counter.show(message);
      if (message.type === 'night-end') {
        counter.finish();
        if (message.verdict === 'failed') {
          fail(new AttuneError('night-failed', message.reasons.join('; ')));
        }
      }
      if (message.type === 'summary-ready') end();
    },
    onBack: () => wire.tell({ type: 'event-subscribe', topics: ['nights'] }),
  });
  await wire.connect();
  await wire.request({ type: 'event-subscribe', topics: ['nights'] });
  return { ended, close: () => wire.close() };
}

function createCounter() {
  const isTerminal = process.stderr.isTTY;
  let phase = '';
  return {
    show({ phase: now, done, total, facts }: NightProgress): void {
      const loss = facts.loss === undefined ? '' : `  loss ${facts.loss.toFixed(3)}`;
      const line = `${now.padEnd(8)} ${done}${total === null ? '' : ` / ${total}`}${loss}`;
      if (isTerminal) process.stderr.write(`\r\u001b[K${line}`);
      else if (now !== phase) process.stderr.write(`${now}\n`);
      phase = now;
    },
    finish(): void {
      if (isTerminal) process.stderr.write('\r\u001b[K');
    },
  };
}

async function list(options: Options): Promise<void> {
  const answer = NightList.parse(await callDaemon(await findDaemon(options), '/api/nights'));
  if (options.json) return say(JSON.stringify(answer, null, 2));
  if (answer.nights.length === 0) say('No night yet.');
  for (const { nightId, status, headline } of answer.nights) {
    say(`${nightId}  ${status.padEnd(9)}  ${headline}`);
  }
  if (answer.running !== null) say(`under way: ${answer.running.nightId}, ${answer.running.phase}`);
  if (answer.nextAt !== null) say(`next: ${new Date(answer.nextAt).toLocaleString()}`);
  say(`weights in use: ${answer.version}`);
}

async function show(id: string | undefined, options: Options): Promise<void> {
  const address = await findDaemon(options);
  const wanted = id ?? (await lastNight(address));
  const summary = NightSummary.parse(await callDaemon(address, `/api/nights/${wanted}`));
  say(options.json ? JSON.stringify(summary, null, 2) : summaryText(summary));
  if (!options.json) say(`\n${address.url}/nights/${wanted}`);
}

async function lastNight(address: Address): Promise<string> {
  const { nights } = NightList.parse(await callDaemon(address, '/api/nights'));
  const last = nights.at(-1);
  if (last !== undefined) return last.nightId;
  throw new AttuneError('night-unknown', 'There was no night yet. Start one: `attune night run`.');
}

async function decide(
  id: string,
  decision: 'approve' | 'reject' | 'revert',
  options: Options,
): Promise<void> {
  const path = `/api/nights/${encodeURIComponent(id)}/${decision}`;
  const answer = await callDaemon(await findDaemon(options), path, {});
  if (options.json) return say(JSON.stringify(answer));
  const swapped = swapSchema.safeParse(answer);
  say(swapped.success ? swapLine(swapped.data) : `${id}: done`);
}

const swapLine = ({ from, to, stallMs }: z.infer<typeof swapSchema>): string =>
  `${from} → ${to} (stall ${stallMs.toFixed(1)} ms)`;

async function verify(options: Options): Promise<void> {
  const answer = await callDaemon(await findDaemon(options), '/api/nights/verify', {});
  const { nights, isSound, findings } = verificationSchema.parse(answer);
  if (options.json) say(JSON.stringify(answer, null, 2));
  else {
    for (const { night, kind, text } of findings) say(`${night ?? 'ledger'}: ${kind}: ${text}`);
    say(`${nights} nights, ${isSound ? 'sound' : 'DAMAGED'}`);
  }
  if (!isSound) process.exitCode = 1;
}

async function swap(options: Options & { to?: string[]; base?: boolean }): Promise<void> {
  if ((options.to === undefined) === (options.base !== true)) {
    throw new AttuneError('config-invalid', 'Give either --to NIGHT… or --base.');
  }
  const nights = options.base ? [] : options.to;
  const answer = await callDaemon(await findDaemon(options), '/api/swap', { nights });
  say(options.json ? JSON.stringify(answer) : swapLine(swapSchema.parse(answer)));
}
