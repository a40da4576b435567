import { describe, expect, it } from 'vitest';
import { ADVICE, type ARMS, armMessages, placeboSentence } from '../../src/listen/arm.ts';
import { names } from '../../src/listen/generate.ts';
import type { Scene } from '../../src/listen/scene.ts';
import { directiveOf } from '../../src/scenario/directive.ts';
import { samplePairs } from './open-suite.ts';

const pairs = await samplePairs(100);
const scenes = pairs.flatMap(({ sides }) => [...sides]);
const lastOf = (scene: Scene, arm: (typeof ARMS)[number]): string =>
  armMessages(scene, arm).at(-1)?.content ?? '';

describe('the arms of the listening test', () => {
  it('leave the untold scene as it is', () => {
    for (const scene of scenes) expect(armMessages(scene, 'untold')).toBe(scene.messages);
  });

  it('tell again what decides, in the person’s words, before the question', () => {
    for (const scene of scenes) {
      expect(lastOf(scene, 'told')).toContain(`"${scene.deciding.text}"`);
      expect(lastOf(scene, 'told').endsWith(scene.messages.at(-1)?.content ?? '?')).toBe(true);
    }
  });

  it('tell again in the placebo another sentence of the person that names neither thing', () => {
    const listening = pairs.filter(({ kind }) => kind === 'listen').flatMap(({ sides }) => sides);
    for (const scene of listening) {
      const sentence = placeboSentence(scene);
      const said = scene.messages.flatMap(({ role, content }) =>
        role === 'user' ? [content] : [],
      );
      expect(said.some((text) => text.includes(sentence) && sentence !== '')).toBe(true);
      expect(sentence).not.toBe(scene.deciding.text);
      expect(names(sentence, scene.right) || names(sentence, scene.other)).toBe(false);
    }
  });

  it('put each wording of the advice in front', () => {
    const [scene] = scenes as [Scene];
    const said = ADVICE.map((_, i) => armMessages(scene, 'system', i));
    expect(said.map(([first]) => first?.content)).toEqual(ADVICE);
    for (const messages of said) expect(messages.slice(1)).toEqual(scene.messages);
  });

  it('find the direction by rule in most scenes, without being told which it is', () => {
    const listening = pairs.filter(({ kind }) => kind === 'listen').flatMap(({ sides }) => sides);
    const found = listening.filter((scene) => lastOf(scene, 'rule').includes(scene.deciding.text));
    expect(found.length / listening.length).toBeGreaterThan(0.8);
  });

  it('repeat by rule in every turn after the directive', () => {
    const scene = pairs.find(({ id }) => id.includes('listen/4'))?.sides[0] as Scene;
    const told = armMessages(scene, 'rule').filter(({ content }) =>
      content.startsWith('As I said'),
    );
    expect(told.length).toBeGreaterThanOrEqual(5);
  });

  it('take wishes, decisions and demands for directives, and neither questions nor remarks', () => {
    for (const text of ["I'd rather walk there.", 'Please use tabs.', 'Let’s skip the soup.']) {
      expect(directiveOf(text), text).toBe(text);
    }
    for (const text of ['It rained all night.', "Shall we say Monday, or what's better?", 'Hm.']) {
      expect(directiveOf(text), text).toBeUndefined();
    }
  });
});
