// `attune night review|drop|edit|retrain|blind`: reviewing the dreams and replies of a night.
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { AttuneError } from '../../base/errors.ts';
import { type ReviewedDream, type ReviewRequest, ReviewView } from '../../protocol/review.ts';
import { type BlindPair, BlindView } from '../../protocol/summary.ts';
import { type AddressOptions, findDaemon } from '../address.ts';
import { printable } from '../chat/terminal.ts';
import { HttpClient } from '../http-client.ts';
import { say } from '../report.ts';
import { followNight } from './follow-night.ts';

type Options = AddressOptions & { json?: boolean };

/** @param command makes a subcommand of `night` that knows where the daemon is */
export function registerReview(command: (name: string, description: string) => Command): void {
  command('review <id>', 'list the dreams that a night trained on').action(review);
  command('drop <id> <dreams...>', 'drop dreams, by their number in `review`')
    .option('--undo', 'restore dropped dreams')
    .action(drop);
  command(
    'edit <id> <dream> [words...]',
    'reword the listening reply of a dream; without words, restore it',
  ).action(edit);
  command('retrain <id>', 'train a night again with your changes, and follow it').action(retrain);
  command('blind <id>', 'judge old and new replies without knowing which is which').action(blind);
}

const pathOf = (id: string, what: string): string =>
  `/api/nights/${encodeURIComponent(id)}/${what}`;

async function review(id: string, options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const view = await client.get(pathOf(id, 'review'), ReviewView);
  if (options.json) return say(JSON.stringify(view, null, 2));
  for (const dream of view.dreams) say(`${dreamText(dream)}\n`);
  say(footer(view));
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
  id: string,
  options: Options,
  dreams: readonly string[],
  request: Omit<ReviewRequest, 'dreamId'>,
): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  let view = await client.get(pathOf(id, 'review'), ReviewView);
  const bodies = dreams.map((name) => ({ dreamId: pick(view, name).id, ...request }));
  for (const body of bodies) view = await client.post(pathOf(id, 'review'), body, ReviewView);
  if (options.json) return say(JSON.stringify(view, null, 2));
  say(footer(view));
}

function drop(id: string, dreams: string[], options: Options & { undo?: boolean }): Promise<void> {
  return change(id, options, dreams, { isDropped: options.undo !== true });
}

function edit(id: string, dream: string, words: string[], options: Options): Promise<void> {
  const chosen = words.length === 0 ? null : words.join(' ');
  return change(id, options, [dream], { chosen });
}

async function retrain(id: string, options: Options): Promise<void> {
  const nightId = await followNight(await findDaemon(options), id);
  say(`${nightId}: attune night show ${nightId}`);
}

async function blind(id: string, options: Options): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  let view = await client.get(pathOf(id, 'blind'), BlindView);
  if (options.json) return say(JSON.stringify(view, null, 2));
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (let pair = view.pairs[0]; pair !== undefined; pair = view.pairs[0]) {
      say(pairText(pair));
      const answer = (await prompt.question('Which one listens better? a, b or s (same): ')).trim();
      const choice = z
        .enum(['a', 'b', 'same'])
        .safeParse(answer.startsWith('s') ? 'same' : answer.toLowerCase()).data;
      if (choice === undefined) continue;
      view = await client.post(pathOf(id, 'blind'), { flagId: pair.flagId, choice }, BlindView);
    }
  } finally {
    prompt.close();
  }
  say(tallyText(view));
}

const pairText = ({ direction, a, b }: BlindPair): string =>
  `\n“${printable(direction)}”\n  a  ${printable(a)}\n  b  ${printable(b)}`;

function tallyText({ tally, isVeto }: BlindView): string {
  if (tally === null) return 'No reply of this night can be compared.';
  const { old, new: newer, same } = tally;
  const veto = isVeto ? ' The old replies were preferred: this night should not be used.' : '';
  return `\nYou preferred the new reply ${newer} times, the old one ${old} times; ${same} the same.${veto}`;
}
