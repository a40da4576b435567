// Dreams of a large model: it writes a whole scene, and the quotes of its features are looked up.
import type { Random } from '../base/random.ts';
import type { PromptFolder } from '../prompt/prompt.ts';
import { KIND, type Kind } from '../scenario/kind.ts';
import type { Feature } from '../scenario/span.ts';
import { type CandidateOptions, findChosen, findRejected, passes, told } from './candidate.ts';
import type { Angle, Draft, DraftSpan } from './draft.ts';
import { shareOf } from './stage.ts';
import type { TurnWriter } from './writer.ts';

export interface WholeScene {
  readonly messages: { role: 'user' | 'assistant'; content: string }[];
  readonly spans: DraftSpan[];
}

export interface WholeOptions {
  readonly writer: TurnWriter;
  readonly random: Random;
  readonly angle: Angle;
  readonly id: string;
  readonly seed: Draft['seed'];
  /** Of a pair whose other side is a scene of its own. */
  readonly pair?: Draft['pair'];
  /** The memory in words. */
  readonly memory: string;
  readonly prompts: PromptFolder;
  readonly retries: number;
  readonly sceneTokensMax: number;
  readonly tokensMax: number;
}

const SPEAKERS: Readonly<Record<string, 'user' | 'assistant'>> = {
  person: 'user',
  companion: 'assistant',
};
const FEATURES: Readonly<Record<string, Feature>> = {
  direction: 'direction',
  'own idea': 'own-idea',
  emotion: 'emotion',
  technical: 'technical',
  absence: 'absence',
};
const TURNS_MAX = 40;
const LINE = /^\**([A-Za-z ]{3,12})\**:\**\s*(.*)$/;

const unquoted = (text: string): string =>
  text
    .trim()
    .replace(/^["“”'*]+|["“”'*]+$/g, '')
    .trim();

/** A quote must stand in exactly one place of one turn of its side. */
function placeQuote(
  feature: Feature,
  quote: string,
  messages: WholeScene['messages'],
): DraftSpan | string {
  const role = feature === 'own-idea' ? 'assistant' : 'user';
  const places = messages.flatMap(({ content, role: theirs }, message) => {
    if (theirs !== role || quote === '') return [];
    const start = content.indexOf(quote);
    if (start === -1) return [];
    const isTwice = content.indexOf(quote, start + 1) !== -1;
    const place = { feature, message, start, end: start + quote.length };
    return isTwice ? [place, place] : [place];
  });
  if (places.length === 1 && places[0] !== undefined) return places[0];
  return places.length === 0
    ? `the ${feature} quote stands nowhere`
    : `the ${feature} quote stands twice`;
}

/** @returns the scene, or why it was rejected */
export function parseWholeScene(text: string, kind: Kind): WholeScene | string {
  const messages: WholeScene['messages'] = [];
  const quotes: { feature: Feature; quote: string }[] = [];
  for (const row of text.split('\n').map((line) => line.trim())) {
    if (row === '' || /^[-=*_]+$/.test(row)) continue;
    const [, label = '', words = ''] = LINE.exec(row) ?? [];
    const role = SPEAKERS[label.toLowerCase().trim()];
    const feature = FEATURES[label.toLowerCase().trim()];
    if (role !== undefined && quotes.length === 0) {
      if (words.trim() === '') return 'a turn is empty';
      if (messages.at(-1)?.role === role) return 'one side speaks twice in a row';
      messages.push({ role, content: words.trim() });
    } else if (feature !== undefined) quotes.push({ feature, quote: unquoted(words) });
    else return `a line is in no form: ${row.slice(0, 40)}`;
    if (messages.length > TURNS_MAX) return 'it has too many turns';
  }
  if (messages.length < 3) return 'it has too few turns';
  if (messages[0]?.role !== 'user') return 'it does not begin with the person';
  if (messages.at(-1)?.role !== 'user') return 'it does not end with the person';
  const spans: DraftSpan[] = [];
  for (const { feature, quote } of quotes) {
    const placed = placeQuote(feature, quote, messages);
    if (typeof placed === 'string') return placed;
    spans.push(placed);
  }
  const missing = KIND[kind].marks.find(
    (feature) => !spans.some((span) => span.feature === feature),
  );
  return missing === undefined ? { messages, spans } : `it marks no ${missing}`;
}

function place({ distance }: Angle): string {
  if (distance === 0) return 'What matters stands in the last turn.';
  return `Between what matters and the last turn lie ${distance} exchanges about other things.`;
}

/** @returns the draft, or why the model wrote no scene */
export async function dreamWhole(kind: Kind, options: WholeOptions): Promise<Draft | string> {
  const { writer, random, angle, prompts } = options;
  const prompt = prompts.get(`dream/whole/${kind}`);
  const asked = prompt.fill({
    domain: angle.domain,
    tone: angle.tone,
    memory: options.memory,
    place: place(angle),
  });
  let scene: WholeScene | string = 'nothing was written';
  for (let attempt = 0; attempt <= options.retries && typeof scene === 'string'; attempt++) {
    const { text, isEnded } = await writer.write({
      messages: [{ role: 'user', content: asked }],
      role: 'assistant',
      tokensMax: options.sceneTokensMax,
      seed: random.uint32(),
    });
    scene = isEnded ? parseWholeScene(text, kind) : 'it was cut off';
  }
  if (typeof scene === 'string') return scene;
  const { messages, spans } = scene;
  const source = { origin: 'dream' as const, cluster: options.seed.cluster, domain: angle.domain };
  const scenario = { id: options.id, kind, messages, spans, source };
  const asking: CandidateOptions = {
    writer,
    random,
    guidance: prompts.get(`dream/guidance/${kind}`).fill({}),
    retries: options.retries,
    tokensMax: options.tokensMax,
  };
  const chosen = await findChosen(messages, asking, (text) => passes(scenario, text));
  const rejected =
    chosen === undefined || !KIND[kind].hasRejected
      ? undefined
      : await findRejected(messages, asking, (text) => !passes(scenario, text));
  const played = { messages, spans, sampled: messages.map(({ content }) => content) };
  return {
    id: options.id,
    kind,
    messages,
    spans,
    seed: options.seed,
    isDirected: options.seed.origin === 'flag',
    angle,
    prompt: { name: prompt.name, hash: prompt.hash },
    ...(options.pair === undefined ? {} : { pair: options.pair }),
    ...told(chosen, rejected),
    sampledShare: shareOf(played, chosen, rejected),
  };
}
