// A scene as a scenario: its deciding sentence marked as the direction, and the model's own idea.
import type { Scenario } from '../scenario/scenario.ts';
import type { Span } from '../scenario/span.ts';
import { sentencesOf } from '../scenario/words.ts';
import { names } from './generate.ts';
import type { Scene, ScenePair } from './scene.ts';

/** One side of a pair; `chosen` is the first of its right beginnings. */
export function sceneScenario(pair: ScenePair, side: 0 | 1): Scenario {
  const scene = pair.sides[side];
  return {
    id: `scene:${pair.id}:${side}`,
    kind: 'listen',
    messages: scene.messages,
    spans: spansOf(scene),
    chosen: pair.candidates[side][0] ?? '',
    source: { origin: 'suite', cluster: pair.domain, domain: pair.domain },
  };
}

function spansOf({ messages, deciding, other, act }: Scene): Span[] {
  const ideas = messages.flatMap(({ role, content }, message) =>
    role !== 'assistant' || act !== 'carry-out'
      ? []
      : sentencesOf(content)
          .filter((sentence) => names(sentence, other))
          .map((sentence) => spanOf('own-idea', message, content, sentence)),
  );
  const said = messages[deciding.message]?.content ?? '';
  return [spanOf('direction', deciding.message, said, deciding.text), ...ideas];
}

function spanOf(feature: Span['feature'], message: number, content: string, words: string): Span {
  const start = content.indexOf(words);
  return { feature, message, start, end: start + words.length };
}
