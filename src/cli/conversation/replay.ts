// `attune replay`: sends the user messages of recorded conversations to the running daemon.
import type { Command } from 'commander';
import { z } from 'zod';
import { readLineFile } from '../../base/line-file.ts';
import { addAddressOptions, findDaemon } from '../address.ts';
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

/** One dialogue of a file; other keys (labels, questionnaires) are ignored. */
const Dialogue = z.object({
  id: z.union([z.string(), z.number()]).transform(String),
  turns: z
    .array(z.object({ role: z.enum(['user', 'assistant', 'system', 'guide']), text: z.string() }))
    .min(1),
});
type Dialogue = z.infer<typeof Dialogue>;

const whole = (text: string): number => z.coerce.number().int().min(0).parse(text);

export function registerReplay(program: Command): void {
  addAddressOptions(program.command('replay'))
    .description('replay recorded conversations against the running daemon')
    .argument('<file>', 'JSONL, gzipped or not: dialogues, or moments with --moments')
    .option('--moments', 'replay moments with a direction, and flag the replies that ignore it')
    .option('--limit <n>', 'number of conversations to replay', whole)
    .option('--skip <n>', 'number of conversations to skip first', whole, 0)
    .option('--pace <seconds>', 'seconds to wait before each message', Number, 0)
    .option('--at <n>', 'number of concurrent conversations', whole, 1)
    .option('--kind <kind>', 'replay only moments of this kind')
    .option('--dialogues <file>', 'dialogues of the moments (default: found beside the moments)')
    .option('--quiet', 'print only the summary')
    .action((file: string, options: ReplayOptions) => replay(file, options));
}

async function replay(file: string, options: ReplayOptions): Promise<void> {
  const conversations = new LiveConversations(await findDaemon(options));
  await conversations.connect();
  const io: ReplayIo = {
    write: (line) => void process.stdout.write(`${line}\n`),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
  try {
    if (options.moments) await replayMoments(file, options, { conversations, io });
    else await replayDialogues(file, options, { conversations, io });
  } finally {
    conversations.close();
  }
}

/** Sends the user messages of each dialogue of a file, each in a live conversation. */
export async function replayDialogues(
  file: string,
  options: Pick<ReplayOptions, 'skip' | 'limit' | 'at' | 'pace' | 'quiet'>,
  { conversations, io }: ReplayParts,
): Promise<void> {
  let played = 0;
  let messages = 0;
  await eachAtOnce(
    chosenOf(readLineFile(file, Dialogue), options),
    options.at,
    async (dialogue) => {
      const conversationId = replayedId(file, dialogue.id);
      const said = await playOne(conversationId, dialogue, { ...options, conversations, io });
      messages += said;
      played++;
    },
  );
  io.write(`${played} conversations, ${messages} messages sent and answered.`);
}

async function playOne(
  conversationId: string,
  { turns }: Dialogue,
  { conversations, io, pace, quiet }: ReplayParts & Pick<ReplayOptions, 'pace' | 'quiet'>,
): Promise<number> {
  // The recording's hidden instruction and its assistant are left out.
  const said = turns.filter(({ role, text }) => role === 'user' && text.trim() !== '');
  const first = said[0]?.text ?? 'Replay';
  await conversations.begin(conversationId, first.slice(0, 60));
  for (const [at, { text }] of said.entries()) {
    if (pace > 0) await io.sleep(pace * 1000);
    const reply = await conversations.say(
      conversationId,
      `${conversationId}-${at}`.slice(-64),
      text,
    );
    if (quiet) continue;
    io.write(`you    › ${printable(text)}`);
    io.write(`attune › ${printable(reply.text)}`);
  }
  conversations.leave(conversationId);
  if (!quiet) io.write('');
  return said.length;
}
