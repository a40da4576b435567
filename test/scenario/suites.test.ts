import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseScenarios } from '../../src/scenario/file.ts';
import { checkReply, KINDS, type Kind } from '../../src/scenario/kind.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string): Scenario[] => parseScenarios(readFileSync(at(path), 'utf8'), path);
const generated = new Map(KINDS.map((kind) => [kind, read(`suites/companion/${kind}.jsonl`)]));
const open = new Map(KINDS.map((kind) => [kind, read(`suites/open/${kind}.jsonl`)]));

describe('the suites', () => {
  it('have everyday turns with replies of some length, each of another domain', () => {
    const everyday = read('suites/open/everyday.jsonl');
    expect(everyday.filter(({ chosen }) => chosen.split(' ').length >= 20)).toEqual(everyday);
    expect(everyday.every((one) => checkReply(one, one.chosen).passes)).toBe(true);
    const all = [...everyday, ...(open.get('ordinary') ?? [])];
    expect(all.length).toBeGreaterThanOrEqual(96);
    expect(new Set(all.map(({ source }) => source.cluster)).size).toBe(all.length);
  });

  it.each(KINDS)('have at least 200 generated and 40 hand-written scenarios of %s', (kind) => {
    expect(generated.get(kind)?.length).toBeGreaterThanOrEqual(200);
    expect(open.get(kind)?.length).toBeGreaterThanOrEqual(40);
    const domains = new Set(open.get(kind)?.map((scenario) => scenario.source.domain));
    expect(domains.size).toBeGreaterThanOrEqual(40);
  });

  it.each(KINDS)(
    'have chosen replies of %s that pass their check and rejected ones that fail',
    (kind) => {
      for (const scenarios of [generated.get(kind) ?? [], open.get(kind) ?? []]) {
        const isRight = (scenario: Scenario): boolean =>
          checkReply(scenario, scenario.chosen).passes &&
          (scenario.rejected === undefined || !checkReply(scenario, scenario.rejected).passes);
        expect(scenarios.filter(isRight).length / scenarios.length).toBeGreaterThan(0.95);
      }
    },
  );

  it('cross their pairs: both sides have the same two candidates, exchanged', () => {
    const pairs = new Map<string, Scenario[]>();
    for (const scenario of [...generated.values()].flat()) {
      if (scenario.pair === undefined) continue;
      pairs.set(scenario.pair.id, [...(pairs.get(scenario.pair.id) ?? []), scenario]);
    }
    expect(pairs.size).toBeGreaterThan(500);
    for (const sides of pairs.values()) {
      const [a, b] = sides as [Scenario, Scenario];
      expect(sides).toHaveLength(2);
      expect([a.chosen, a.rejected]).toEqual([b.rejected, b.chosen]);
      expect(a.source.cluster).toBe(b.source.cluster);
    }
  });

  it('mark directions and own ideas of every age in the listening scenarios', () => {
    const listen = generated.get('listen') ?? [];
    for (const feature of ['direction', 'own-idea']) {
      expect(
        listen.filter((s) => s.spans.some((span) => span.feature === feature)).length,
      ).toBeGreaterThan(200);
    }
  });
});

/** Every word and sentence between quotes in a recipe. */
const recipeText = (folder: string, files: string[]): string =>
  files.map((file) => readFileSync(at(`${folder}/${file}`), 'utf8')).join('\n');

describe('the generated suites and the companion’s generator', () => {
  const recipe = 'models/companion/recipe';
  const hasRecipe = readdirSync(at('models/companion')).includes('recipe');

  it.skipIf(!hasRecipe)(
    'share no domain, no value and no sentence (skipped without the recipe)',
    () => {
      const theirs = recipeText(recipe, ['words.py', 'phrases.py', 'vary.py']);
      const words = readFileSync(at('suites/recipe/words.py'), 'utf8');
      const scenes = readFileSync(at('suites/recipe/scenes.py'), 'utf8');
      const domains = [...words.matchAll(/^ {4}\("([^"]+)"/gm)].map((match) => match[1] as string);
      expect(domains.length).toBeGreaterThan(12);
      for (const domain of domains) expect(theirs).not.toContain(domain);
      const lists = [...words.matchAll(/^[A-Z]+ = "{2,3}([^"]+)"/gm)].map((m) => m[1] as string);
      const values = lists.flatMap((list) =>
        (list.includes('|') ? list.split('|') : list.split(/\s+/)).map((v) =>
          v.replace(/\s+/g, ' ').trim(),
        ),
      );
      expect(values.length).toBeGreaterThan(90);
      const theirWords = new Set(theirs.toLowerCase().match(/\p{L}+/gu));
      for (const value of values) {
        const isOneWord = !value.includes(' ');
        if (isOneWord) expect(theirWords, value).not.toContain(value.toLowerCase());
        else expect(theirs.toLowerCase()).not.toContain(value.toLowerCase());
      }
      const sentences = [...scenes.matchAll(/^([^\n"=]{12,}[.?!])/gm)].map((m) => m[1] as string);
      expect(sentences.length).toBeGreaterThan(60);
      for (const sentence of sentences.flatMap((s) => s.split(' > '))) {
        // One word before ">" names a feeling for the reader and is never said.
        if (sentence.trim().includes(' ')) expect(theirs).not.toContain(sentence.trim());
      }
    },
  );
});

describe('the checks', () => {
  const labels = readFileSync(at('suites/agreement.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; reply: string; listens: boolean });

  const published: Record<Kind, number> = {
    listen: 0.84,
    'push-back': 0.91,
    invite: 0.85,
    undercurrent: 0.96,
    compressed: 0.94,
    longing: 0.83,
    hostile: 0.94,
    ordinary: 1,
  };

  it.each(KINDS)(
    'of %s agree with at least 50 labels as often as the suites’ README says',
    (kind) => {
      const known = new Map(open.get(kind)?.map((scenario) => [scenario.id, scenario]));
      const own = labels.filter(({ id }) => known.has(id));
      expect(own.length).toBeGreaterThanOrEqual(50);
      const agreed = own.filter(
        ({ id, reply, listens }) => checkReply(known.get(id) as Scenario, reply).passes === listens,
      );
      expect(agreed.length / own.length).toBeCloseTo(published[kind], 2);
      expect(agreed.length / own.length).toBeGreaterThan(0.8);
    },
  );
});
