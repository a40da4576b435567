import { describe, expect, it } from 'vitest';
import { type ChatRenderer, type ExampleLimits, toExample } from '../../src/scenario/example.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

const renderer = wordRenderer(500);
const limits: ExampleLimits = { windowTokens: 100, replyTokensMax: 10 };

function scene(turns: number, directionTurn: number, changes: object = {}): Scenario {
  const messages = Array.from({ length: 2 * turns - 1 }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `words of number ${i}`,
  }));
  return parseScenario({
    id: 'scene',
    kind: 'listen',
    messages,
    spans: [{ feature: 'direction', message: 2 * directionTurn, quote: 'of number' }],
    chosen: 'yes indeed so',
    rejected: 'no',
    source: { origin: 'suite', cluster: 'c', domain: 'd' },
    ...changes,
  });
}

describe('a scenario as tokens', () => {
  it('begins its decision with the last prompt token, whose row predicts the first reply token', () => {
    const scenario = scene(2, 1);
    const example = toExample(scenario, renderer, limits);
    const { prompt, replyIds } = renderer.renderReply(scenario.messages, scenario.chosen);
    expect([...example.contextIds, example.chosen.ids[0]]).toEqual(prompt.ids);
    expect(example.chosen.targets).toEqual(replyIds);
    expect(example.chosen.ids.slice(1)).toEqual(replyIds.slice(0, -1));
    expect(example.chosen.lossMask).toEqual([1, 1, 1, 1]);
    expect(example.rejected?.ids[0]).toBe(example.chosen.ids[0]);
  });

  it('places spans by token in the prompt', () => {
    const { contextIds, spans } = toExample(scene(2, 1), renderer, limits);
    const [span] = spans;
    const [, of, number] = renderer.renderReply([], 'words of number').replyIds;
    expect(contextIds.slice(span?.start, span?.end)).toEqual([of, number]);
  });

  it('leaves out whole old turns first and moves the spans along', () => {
    const long = scene(12, 11);
    const example = toExample(long, renderer, limits);
    expect(example.droppedTurns).toBeGreaterThan(0);
    expect(example.contextIds.length + limits.replyTokensMax).toBeLessThan(limits.windowTokens);
    const [span] = example.spans;
    const [, of, number] = renderer.renderReply([], 'words of number').replyIds;
    expect(example.contextIds.slice(span?.start, span?.end)).toEqual([of, number]);
  });

  it('is rendered as the chat rendered its conversation', () => {
    const rendering = { at: 1, variables: { enable_thinking: false } };
    const asked: unknown[] = [];
    const noting: ChatRenderer = {
      renderChat(messages, options) {
        asked.push(options);
        return renderer.renderChat(messages, options);
      },
      renderReply(messages, reply, options) {
        asked.push(options);
        return renderer.renderReply(messages, reply, options);
      },
    };
    toExample(scene(2, 1, { rendering }), noting, limits);
    expect(asked).toHaveLength(3);
    for (const options of asked) expect(options).toMatchObject(rendering);
  });

  it('keeps a system message, whatever leaves', () => {
    const long = scene(12, 11);
    const messages = [{ role: 'system' as const, content: 'be kind' }, ...long.messages];
    const spans = long.spans.map((span) => ({ ...span, message: span.message + 1 }));
    const example = toExample({ ...long, messages, spans }, renderer, limits);
    expect(example.contextIds[1]).toBe(3);
    expect(example.droppedTurns).toBeGreaterThan(0);
  });

  it('ends a reply at its limit', () => {
    const example = toExample(scene(1, 0, { chosen: 'w '.repeat(30).trim() }), renderer, limits);
    expect(example.chosen.ids).toHaveLength(limits.replyTokensMax);
    expect(example.chosen.targets).toHaveLength(limits.replyTokensMax);
  });

  it.each<[string, Scenario, RegExp]>([
    ['whose direction would leave', scene(12, 0), /direction would be left out/],
    [
      'whose last turn alone is over the window',
      scene(1, 0, {
        messages: [{ role: 'user', content: 'w '.repeat(200).trim() }],
        spans: [],
      }),
      /last turn alone/,
    ],
  ])('refuses a scenario %s', (_title, scenario, message) => {
    const render = (): unknown => toExample(scenario, renderer, limits);
    expect(render).toThrow(message);
    expect(render).toThrow(expect.objectContaining({ code: 'scenario-too-long' }));
  });
});
