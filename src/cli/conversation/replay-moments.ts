// `attune replay --moments`: real contexts up to a direction, answered live, flagged when ignored.
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import type { Reply } from '../../protocol/conversation.ts';
import { ConversationImported } from '../../protocol/http.ts';
import { checkReply } from '../../scenario/check.ts';
import type { CheckResult } from '../../scenario/kind.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { findDaemon } from '../address.ts';
import { printable } from '../chat/terminal.ts';
import { HttpClient } from '../http-client.ts';
import { eachAtOnce, type ReplayOptions, type ReplayParts, replayedId } from './replay-plan.ts';
import { isHeldBack, plainPairs, readSgdDialogues, readSgdMoments, type SgdMoment } from './sgd.ts';

/** A real context up to a direction, with what listens and what does not. */
export interface Moment {
  readonly scenario: Scenario;
  readonly conversationId: string;
}

/** What a reply must and must not say, where the moment exchanges one value for another. */
function factsOf({ changes, reply }: SgdMoment): NonNullable<Scenario['facts']> {
  const says = (value: string): boolean => reply.toLowerCase().includes(value.toLowerCase());
  const clean = changes.filter(([, before, after]) => before.length > 1 && after.length > 1);
  return {
    needs: clean.filter(([, , after]) => says(after)).map(([, , after]) => [after]),
    avoids: clean.filter(([, before]) => !says(before)).map(([, before]) => before),
  };
}

/** The dialogues are stored beside the moments: …/directions/sgd-train → …/pretrain/sgd/train. */
async function dialoguesBeside(file: string): Promise<string> {
  const split = /-(\w+)\.jsonl/.exec(file)?.[1] ?? 'train';
  const path = join(dirname(file), '..', 'pretrain', 'sgd', `${split}.jsonl.gz`);
  if ((await stat(path).catch(() => undefined))?.isFile() === true) return path;
  const message = `The dialogues of these moments are not at ${path}; name them with --dialogues.`;
  throw new AttuneError('message-invalid', message, { path });
}

/** The last part, after `#`, is the position in the dialogue. */
function momentId(scenario: Scenario): string {
  return scenario.id.split(':').slice(2).join(':');
}

/** Moments of held-out dialogues; files that only measure (a dev split) are refused. */
export async function readMoments(
  file: string,
  options: Pick<ReplayOptions, 'dialogues' | 'kind'>,
): Promise<Moment[]> {
  if (/dev|test/.test(file.split('/').at(-1) ?? '')) {
    const message = `${file} is a measuring split, and flags are trained on; use a train file.`;
    throw new AttuneError('message-invalid', message, { file });
  }
  const moments = (await readSgdMoments(file)).filter(
    ({ id, kind }) =>
      // The companion was trained on the others.
      isHeldBack(id.split('#')[0] ?? '') && (options.kind === undefined || kind === options.kind),
  );
  const byId = new Map(moments.map((moment) => [moment.id, moment]));
  const dialogues = await readSgdDialogues(options.dialogues ?? (await dialoguesBeside(file)));
  return plainPairs(moments, dialogues).flatMap((scenario) => {
    const moment = byId.get(momentId(scenario));
    if (moment === undefined) return [];
    const conversationId = replayedId(file, moment.id);
    return [{ scenario: { ...scenario, facts: factsOf(moment) }, conversationId }];
  });
}

/** Everything before the direction, as it was recorded. */
function contextOf({ scenario, conversationId }: Moment, at: number) {
  const before = scenario.messages.slice(0, -1);
  return {
    id: conversationId,
    title: (scenario.messages[0]?.content ?? 'Replay').slice(0, 60),
    origin: 'replay',
    messages: before.map(({ role, content }, index) => ({
      id: `${conversationId}-${index}`.slice(-64),
      role,
      text: content,
      at,
    })),
  };
}

function flagOf({ scenario, conversationId }: Moment, messageId: string, reply: Reply) {
  const last = scenario.messages.length - 1;
  const direction = scenario.spans.find(
    ({ feature, message }) => feature === 'direction' && message === last,
  );
  const text = scenario.messages[last]?.content.slice(direction?.start, direction?.end) ?? '';
  return {
    id: `flag-${conversationId}`.slice(0, 64),
    conversationId,
    replyId: reply.id,
    ...(direction === undefined || text === ''
      ? {}
      : { userSpan: { messageId, span: { start: direction.start, end: direction.end, text } } }),
    betterWords: scenario.chosen,
  };
}

/**
 * Loads each context, sends the direction, and flags the reply where the check of its kind says
 * that it does not listen. Files that only measure (a dev split) are refused: flags are trained on.
 */
export async function replayMoments(
  file: string,
  options: ReplayOptions,
  parts: ReplayParts,
): Promise<void> {
  const { skip, limit = Number.POSITIVE_INFINITY } = options;
  const chosen = (await readMoments(file, options)).slice(skip, skip + limit);
  const { answered, flagged } = await playMoments(chosen, options, parts);
  parts.io.write(
    `${answered} moments answered; ${flagged} replies ignored the direction and were flagged.`,
  );
}

/** A moment that was replayed before is skipped. */
export async function playMoments(
  moments: readonly Moment[],
  options: Pick<ReplayOptions, 'url' | 'config' | 'at' | 'pace' | 'quiet'>,
  { conversations, io }: ReplayParts,
): Promise<{ answered: number; flagged: number }> {
  const http = new HttpClient(await findDaemon(options));
  const tally = { answered: 0, flagged: 0 };
  await eachAtOnce(moments, options.at, async (moment) => {
    const { scenario, conversationId } = moment;
    const isNew = await http
      .post('/api/conversations', contextOf(moment, Date.now()), ConversationImported)
      .then(() => true)
      .catch((error: unknown) => {
        if (isAttuneError(error, 'conversation-exists')) return false;
        throw error;
      });
    if (!isNew) return;
    const text = scenario.messages.at(-1)?.content ?? '';
    if (options.pace > 0) await io.sleep(options.pace * 1000);
    const messageId = `${conversationId}-${scenario.messages.length - 1}`.slice(-64);
    const reply = await conversations.say(conversationId, messageId, text);
    const result = checkReply(scenario, reply.text);
    tally.answered++;
    if (!result.passes) {
      await conversations.flag({ ...flagOf(moment, messageId, reply), reason: result.reason });
      tally.flagged++;
    }
    conversations.leave(conversationId);
    if (!options.quiet) show(moment, reply, result, io.write);
  });
  return tally;
}

function show(
  { scenario }: Moment,
  reply: Reply,
  { passes, reason }: CheckResult,
  write: (line: string) => void,
): void {
  write(`you    › ${printable(scenario.messages.at(-1)?.content ?? '')}`);
  write(`attune › ${printable(reply.text)}`);
  if (!passes) write(`better › ${printable(scenario.chosen)}`);
  write(`         ${passes ? 'listened' : 'flagged'}: ${reason}\n`);
}
