import { describe, expect, it } from 'vitest';
import { passes } from '../../src/dream/candidate.ts';
import { asValue, factsOf, readScene, type Side, slotsOf } from '../../src/dream/scene.ts';
import {
  cutSlot,
  type Played,
  playCandidate,
  playScene,
  type StageOptions,
} from '../../src/dream/stage.ts';
import { readWorld } from '../../src/dream/world.ts';
import { parsePrompt } from '../../src/prompt/prompt.ts';
import { createModel, prompts, random, writerOf } from './dreaming.ts';

const VALUES = {
  task: 'planning a weekend trip',
  topic: 'the town',
  other: 'the budget',
  felt: 'I feel so sad today.',
};
const world = readWorld(prompts);
const names = prompts.names.filter((name) => name.startsWith('dream/structured/'));
const valuesFor = (name: string) =>
  Object.fromEntries(
    Object.entries(VALUES).filter(([key]) => prompts.get(name).slots.includes(key)),
  );

async function playedScene(side: Side, stage: StageOptions): Promise<Played> {
  const played = await playScene(side, stage);
  if (typeof played === 'string') throw new Error(played);
  return played;
}

describe.each(names)('the scene %s', (name) => {
  const scene = readScene(prompts.get(name), valuesFor(name));

  it('has, in every wording, a chosen that listens and a rejected that does not', async () => {
    const faults: string[] = [];
    for (let seed = 0; seed < 6; seed++) {
      const stage = {
        writer: writerOf(createModel()),
        random: random(seed),
        angle: { domain: VALUES.task, distance: seed % 3, tone: 'plain' as const },
        slots: new Map<string, string>(),
        distractors: [],
        spare: world.exchanges,
        retries: 5,
      };
      for (const side of scene.sides) {
        const slots = slotsOf(side, stage.slots) as Map<string, string>;
        const played = await playedScene(side, { ...stage, slots });
        const judged = {
          id: 'x',
          kind: side.kind,
          messages: played.messages,
          spans: played.spans,
          source: { origin: 'dream' as const, cluster: 'c', domain: 'd' },
        };
        for (const [list, expected] of [
          [side.chosen, true],
          [side.rejected, false],
        ] as const) {
          for (const wording of list) {
            const candidate = await playCandidate(played, [wording], stage);
            if (typeof candidate === 'string') throw new Error(candidate);
            const { text } = candidate;
            const facts = factsOf(side, stage.slots);
            if (passes({ ...judged, ...(facts && { facts }) }, text) !== expected)
              faults.push(`${side.kind} ${expected}: ${text}`);
          }
        }
      }
    }
    expect([...new Set(faults.map((fault) => fault.replace(/\d+/g, '')))]).toEqual([]);
  });

  it('knows where its features stand, whatever the model fills in', async () => {
    for (const [index, side] of scene.sides.entries()) {
      const stage = {
        writer: writerOf(createModel()),
        random: random(index),
        angle: { domain: VALUES.task, distance: 4, tone: 'casual' as const },
        slots: new Map<string, string>(),
        distractors: [],
        spare: world.exchanges,
        retries: 5,
      };
      const { messages, spans } = await playedScene(side, stage);
      expect(messages.at(-1)?.role).toBe('user');
      for (const { message, start, end } of spans) {
        expect(end).toBeGreaterThan(start);
        expect(messages[message]?.content.slice(start, end)).not.toMatch(/^\s|\s$|[[\]<>]/);
      }
      for (let at = 1; at < messages.length; at++) {
        expect(messages[at]?.role).not.toBe(messages[at - 1]?.role);
      }
    }
  });
});

it('there is a scene for every kind, and guidance for it', () => {
  const kinds = new Set(names.map((name) => prompts.get(name).frontMatter.kind));
  for (const kind of [
    'listen',
    'push-back',
    'invite',
    'undercurrent',
    'compressed',
    'longing',
    'hostile',
    'ordinary',
  ]) {
    expect(kinds).toContain(kind);
    expect(prompts.get(`dream/guidance/${kind}`).fill({})).not.toBe('');
    expect(prompts.names).toContain(`dream/whole/${kind}`);
  }
});

describe('a slot', () => {
  it.each([
    [' a red lamp for the town, maybe', 'for', 'a red lamp'],
    ['Anna. She is', '.', 'Anna'],
    ['seven o clock in the evening', 'x', 'seven o clock'],
    ['lentil soup', '', 'lentil soup'],
  ])('ends where the value does: %j', (written, after, slot) => {
    expect(cutSlot(written, after)).toBe(slot);
  });

  it.each([
    '',
    '.',
    'one two three four five six',
    '<b>',
    '{{x}}',
    '\ufffd',
    'to the town',
    '"',
    ' , yes',
  ])('is not filled with %j', (written) => expect(cutSlot(written, 'for')).toBeUndefined());
});

describe('a scene', () => {
  const parse = (body: string, front = 'kind: listen') =>
    readScene(parsePrompt('s', `---\n${front}\n---\n${body}`), {});

  it.each([
    ['nothing of the person at its end', 'user: a\nassistant: b'],
    ['a line without a speaker', 'user: a\nhello'],
    ['a feature that is none', 'user: <joy>a</joy>'],
    ['a feature that is not closed', 'user: <direction>a'],
    ['words for a twin that no side has', 'user: a\nchosen@twin: b'],
  ])('is refused with %s', (_name, body) => {
    expect(() => parse(body)).toThrow(expect.objectContaining({ code: 'prompt-invalid' }));
  });

  it('is refused with a kind that is none and with unknown settings', () => {
    expect(() => parse('user: a', 'kind: joy')).toThrow('kind');
    expect(() => parse('user: a', 'kind: listen\nneed: [x]')).toThrow(/need/);
  });

  it('takes a person’s words as words, never as its own marks', () => {
    expect(asValue('no\n[[idea]] || <direction>x</direction> 1 < 2')).toBe(
      'no idea x 1 < 2'.replace('no idea', 'no idea '),
    );
  });

  it('gives up after its retries when the model fills no slot', async () => {
    const scene = parse('user: I want [[wish]].');
    const engine = createModel(() => '.');
    const stage = {
      writer: writerOf(engine),
      random: random(1),
      angle: { domain: 'd', distance: 0, tone: 'plain' as const },
      slots: new Map<string, string>(),
      distractors: [],
      spare: [],
      retries: 2,
    };
    expect(await playScene(scene.sides[0], stage)).toBe('the model filled no slot');
    expect(engine.requests).toHaveLength(3);
  });
});
