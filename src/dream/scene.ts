// Plays a scene from the lines of a prompt: wordings of ours, with what the model wrote in between.
import { z } from 'zod';
import type { Random } from '../base/random.ts';
import { frontOf, type Prompt, type PromptFolder } from '../prompt/prompt.ts';
import { KINDS } from '../scenario/kind.ts';
import { FEATURES, type Feature, type Span } from '../scenario/span.ts';
import { contentWords } from '../scenario/words.ts';
import type { Exchange, Piece } from './material.ts';
import type { Message } from './writer.ts';

/** `[tags] role feature: wording || wording`; one of the tags must hold. `...` are asides. */
const LINE = /^(?:\[([a-z -]+)\] )?(?:(user|assistant)(?: ([a-z-]+))?: (.+)|\.\.\.)$/;
const SLOT = /\{([a-z]+)\}/g;

const frontSchema = z.strictObject({ kind: z.enum(KINDS), role: z.enum(['lesson', 'hold']) });

interface Line {
  readonly tags: readonly string[];
  readonly said?: {
    readonly role: 'user' | 'assistant';
    readonly feature?: Feature;
    readonly wordings: readonly string[];
  };
}

export interface Scene extends z.infer<typeof frontSchema> {
  readonly prompt: Prompt;
  readonly lines: readonly Line[];
}

/** @throws prompt-invalid from its front matter; Error for a line in no form */
export function readScene(prompts: PromptFolder, name: string): Scene {
  const prompt = prompts.get(`dream/${name}`);
  const rows = prompt.fill({}).split('\n').filter(Boolean);
  return { ...frontOf(prompt, frontSchema), prompt, lines: rows.map(readLine) };
}

function readLine(row: string): Line {
  const [whole, tags = '', role, feature, wordings = ''] = LINE.exec(row) ?? [];
  const isFeature = feature === undefined || FEATURES.includes(feature as Feature);
  if (whole === undefined || !isFeature) throw new Error(`dream: a line has no known form: ${row}`);
  return {
    tags: tags.split(' ').filter(Boolean),
    ...(role !== undefined && {
      said: {
        role: role as 'user' | 'assistant',
        ...(feature !== undefined && { feature: feature as Feature }),
        wordings: wordings.split(' || '),
      },
    }),
  };
}

export interface Played {
  readonly messages: Message[];
  readonly spans: Span[];
  /** Share of the content words that the model sampled. */
  readonly sampledShare: number;
}

export interface Cast {
  /** What the model wrote, by slot. */
  readonly slots: Readonly<Record<string, Piece>>;
  /** What stands at `...`. */
  readonly asides: readonly Exchange[];
  /** What stands at `...` before the direction. */
  readonly before: readonly Exchange[];
  /** What holds of the moment and of this side of a pair. */
  readonly tags: ReadonlySet<string>;
  /** The same draws give both sides of a pair the same wordings. */
  readonly random: Random;
}

export function playScene({ lines }: Scene, cast: Cast): Played {
  const messages: Message[] = [];
  const spans: Span[] = [];
  // Words that nobody sampled.
  let ours = '';
  const say = (role: 'user' | 'assistant', text: string, feature?: Feature): void => {
    const last = messages.at(-1);
    const before = last?.role === role ? `${last.content} ` : '';
    if (last?.role === role) messages.pop();
    const content = before + text;
    if (feature !== undefined) {
      spans.push({ feature, message: messages.length, start: before.length, end: content.length });
    }
    messages.push({ role, content });
  };
  for (const [at, { tags, said }] of lines.entries()) {
    if (tags.length > 0 && !tags.some((tag) => cast.tags.has(tag))) continue;
    if (said === undefined) {
      const isBefore = tags.includes('momentum');
      for (const exchange of isBefore ? cast.before : cast.asides) {
        for (const [side, piece] of exchange.entries()) {
          ours += ` ${piece.given}`;
          say(side === 0 ? 'user' : 'assistant', piece.text);
        }
      }
      continue;
    }
    const wording =
      said.wordings[Math.floor(cast.random.uniformAt(at) * said.wordings.length)] ?? '';
    ours += ` ${wording.replace(SLOT, (_, name: string) => slotOf(cast, name).given)}`;
    const filled = wording.replace(SLOT, (_, name: string) => slotOf(cast, name).text);
    say(said.role, withCapitals(filled), said.feature);
  }
  const total = contentWords(messages.map(({ content }) => content).join(' ')).length;
  const own = total - contentWords(ours).length;
  return { messages, spans, sampledShare: total === 0 ? 0 : Math.max(0, own / total) };
}

function slotOf({ slots }: Cast, name: string): Piece {
  const piece = slots[name];
  if (piece === undefined) throw new Error(`dream: no value for {${name}}`);
  return piece;
}

/** What was filled in may begin a sentence. */
function withCapitals(text: string): string {
  return text.replace(/(?:^|[.!?] )\p{Ll}/gu, (start) => start.toUpperCase());
}
