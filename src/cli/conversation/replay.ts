// `attune replay`: plays the person's side of real conversations against the running daemon.
import type { Command } from 'commander';
import { z } from 'zod';
import { readLineFile } from '../../base/line-file.ts';
import { findDaemon } from '../address.ts';
import { printable } from '../chat/terminal.ts';
import { LiveConversations } from './live-conversation.ts';
import { replayMoments } from './replay-moments.ts';
import {
  chosenOf,
  eachAtOnce,
  type ReplayIo,
  type ReplayOptions,
  type ReplayParts,
  replayedId,
} from './replay-plan.ts';

/** One dialogue of a file; other keys (labels, questionnaires) are not for us. */
const Dialogue = z.object({
  id: z.union([z.string(), z.number()]).transform(String),
  turns: z
    .array(z.object({ role: z.enum(['user', 'assistant', 'system', 'guide']), text: z.string() }))
    .min(1),
});
type Dialogue = z.infer<typeof Dialogue>;

const whole = (text: string): number => z.coerce.number().int().min(0).parse(text);

export function registerReplay(program: Command): void {
  program
    .command('replay')
    .description('play real conversations against the running daemon, as live talks')
    .argument('<file>', 'JSONL, gzipped or not: dialogues, or moments with --moments')
    .option('--moments', 'answer moments in which the person directs; flag what ignores them')
    .option('--limit <n>', 'so many talks', whole)
    .option('--skip <n>', 'not the first so many', whole, 0)
    .option('--pace <seconds>', 'wait before each message', Number, 0)
    .option('--at <n>', 'so many talks at once', whole, 1)
    .option('--kind <kind>', 'only moments of this kind')
    .option('--dialogues <file>', 'where the talks of the moments are (found beside the moments)')
    .option('--quiet', 'only the sum at the end')
    .option('--url <address>', 'where the daemon is')
    .option('--config <file>', 'configuration file')
    .action((file: string, options: ReplayOptions) => replay(file, options));
}

async function replay(file: string, options: ReplayOptions): Promise<void> {
  const talks = new LiveConversations(await findDaemon(options));
  await talks.connect();
  const io: ReplayIo = {
    write: (line) => void process.stdout.write(`${line}\n`),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
  try {
    if (options.moments) await replayMoments(file, options, { talks, io });
    else await replayDialogues(file, options, { talks, io });
  } finally {
    talks.close();
  }
}

/** Says what the person said in each dialogue of a file, as live talks. */
export async function replayDialogues(
  file: string,
  options: Pick<ReplayOptions, 'skip' | 'limit' | 'at' | 'pace' | 'quiet'>,
  { talks, io }: ReplayParts,
): Promise<void> {
  let played = 0;
  let messages = 0;
  await eachAtOnce(
    chosenOf(readLineFile(file, Dialogue), options),
    options.at,
    async (dialogue) => {
      const conversationId = replayedId(file, dialogue.id);
      const said = await playOne(conversationId, dialogue, { ...options, talks, io });
      messages += said;
      played++;
    },
  );
  io.write(`${played} talks, ${messages} messages said and answered.`);
}

async function playOne(
  conversationId: string,
  { turns }: Dialogue,
  { talks, io, pace, quiet }: ReplayParts & Pick<ReplayOptions, 'pace' | 'quiet'>,
): Promise<number> {
  // The hidden instruction of the recording and its assistant are not played.
  const said = turns.filter(({ role, text }) => role === 'user' && text.trim() !== '');
  const first = said[0]?.text ?? 'Replay';
  await talks.begin({ conversationId, title: first.slice(0, 60) });
  for (const [at, { text }] of said.entries()) {
    if (pace > 0) await io.sleep(pace * 1000);
    const reply = await talks.say(conversationId, `${conversationId}-${at}`.slice(-64), text);
    if (quiet) continue;
    io.write(`you    › ${printable(text)}`);
    io.write(`attune › ${printable(reply.text)}`);
  }
  talks.leave(conversationId);
  if (!quiet) io.write('');
  return said.length;
}
