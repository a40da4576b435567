import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { names } from '../../src/listen/generate.ts';
import { type Domain, PARTS, readSuite } from '../../src/listen/suite.ts';
import { wordsOf } from '../../src/scenario/words.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'suites/listen');
const suites = await Promise.all(PARTS.map((part) => readSuite(folder, part)));
const domains = suites.flatMap((suite) => suite.domains);
const [develop, judge, release] = suites as [
  (typeof suites)[0],
  (typeof suites)[0],
  (typeof suites)[0],
];

const linesOf = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(value as object).flatMap(linesOf);
/** What a domain says besides its things. */
const spoken = ({ opening, choice, questions, fillers, against }: Domain): string[] =>
  linesOf([opening, choice, questions, fillers, against]);

describe('the words of the listening test', () => {
  it('are of at least 60 domains with at least six comparable things each', () => {
    expect(domains.length).toBeGreaterThanOrEqual(60);
    for (const { things } of domains) expect(things.length).toBeGreaterThanOrEqual(6);
    for (const { domains: own } of suites) expect(own.length).toBeGreaterThanOrEqual(15);
  });

  it('have no domain, no thing and no sentence in two parts', () => {
    const of = (suite: (typeof suites)[0]) =>
      suite.domains.flatMap((domain) => [
        domain.id,
        ...domain.things.map(({ key }) => key.toLowerCase()),
        ...spoken(domain),
      ]);
    const all = suites.flatMap((suite) => [...new Set(of(suite))]);
    expect(all.filter((text, i) => all.indexOf(text) !== i)).toEqual([]);
  });

  it('have things that can be told apart, and questions that name none of them', () => {
    for (const { id, things, opening, choice, questions } of domains) {
      for (const thing of things) {
        expect(
          things.filter(({ text }) => names(text, thing)),
          `${id}: ${thing.key}`,
        ).toEqual([thing]);
        const naming = [opening, choice, ...questions].filter((text) => names(text, thing));
        expect(naming, `${id}: ${thing.key}`).toEqual([]);
      }
    }
  });

  it('have frames for developing and for judging that share no sentence', () => {
    const own = new Set(linesOf(develop.frames).filter((line) => line !== '{question}'));
    expect(linesOf(judge.frames).filter((line) => own.has(line))).toEqual([]);
    expect(release.frames).toEqual(judge.frames);
  });

  it('share no five words in a row with dreams, the companion or its suite', () => {
    const theirs = new Set(
      ['prompts', 'suites/companion', 'models/companion/recipe']
        .flatMap((path) => textsBelow(join(root, path)))
        .flatMap(shinglesOf),
    );
    expect(theirs.size).toBeGreaterThan(10_000);
    const ours = [...domains.flatMap(spoken), ...suites.flatMap(({ frames }) => linesOf(frames))];
    const shared = ours.flatMap((line) => shinglesOf(line).filter((run) => theirs.has(run)));
    expect([...new Set(shared)]).toEqual([]);
  });
});

const SHINGLE = 5;

function shinglesOf(text: string): string[] {
  return text.split(/\{\w+\}|\n|\|\||[<>[\]"]/).flatMap((piece) => {
    const words = wordsOf(piece).map((word) => word.text);
    return words.slice(SHINGLE - 1).map((_, i) => words.slice(i, i + SHINGLE).join(' '));
  });
}

function textsBelow(path: string): string[] {
  return readdirSync(path).flatMap((name) => {
    const full = join(path, name);
    if (statSync(full).isDirectory()) return textsBelow(full);
    return /\.(md|py|txt|jsonl)$/.test(name) ? [readFileSync(full, 'utf8')] : [];
  });
}
