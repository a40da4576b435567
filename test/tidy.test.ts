// Holds the sources to the rules of the house; each failure names the file and what to do.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as rule from './tidy/rule.ts';
import { readPythonImports, readSource, readSources, type Source } from './tidy/source.ts';

const product = readSources('src');
const tests = readSources('test');
const bench = readSources('bench');
const demo = readSources('demo');
const web = readSources('web');
const scripts = [...product, ...bench, ...demo];
const everything = [...scripts, ...web, ...tests];

const complaints = (sources: readonly Source[], check: (source: Source) => readonly string[]) =>
  sources.flatMap(check);

describe('the house', () => {
  it('has imports that run downwards only', () => {
    expect(complaints(product, rule.importsRunDownwards)).toEqual([]);
  });

  it('has no files that import each other in a circle', () => {
    expect([product, web, bench].flatMap(rule.circles)).toEqual([]);
  });

  it('has no circle in the recipe of the companion', () => {
    expect(rule.circles(readPythonImports('models/companion/recipe'))).toEqual([]);
  });

  it('has tests that import nothing from the bench', () => {
    expect(complaints(tests, rule.testsKnowNoBench)).toEqual([]);
  });

  it('has no folder of more than 24 files', () => {
    expect(rule.crowdedFolders(product)).toEqual([]);
  });

  it('keeps each package behind one wall', () => {
    expect(complaints(product, rule.packagesStayBehindTheirWalls)).toEqual([]);
  });

  it('reaches what is below store/ through FileOps alone', () => {
    expect(complaints(product, rule.theStoreGoesThroughFileOps)).toEqual([]);
    expect(rule.idleReaders(product)).toEqual([]);
  });

  it('lets the web client know of the daemon only what goes over the wire', () => {
    const strangers = web.flatMap(({ path, imports }) =>
      imports
        .filter((target) => target.startsWith('src/') && !target.startsWith('src/protocol/'))
        .map((target) => `${path}: imports ${target}`),
    );
    expect(strangers).toEqual([]);
  });

  it('has no file of more than 450 lines', () => {
    expect(complaints(everything, rule.filesAreShort)).toEqual([]);
  });

  it('has no function of more than 60 lines', () => {
    expect(complaints([...scripts, ...web], rule.functionsAreShort)).toEqual([]);
  });

  it('has no line of more than 100 columns outside its tests', () => {
    expect(complaints([...scripts, ...web], rule.linesAreShort)).toEqual([]);
  });

  it('says in the first line of each file what it is', () => {
    expect(complaints(scripts, rule.filesSayWhatTheyAre)).toEqual([]);
  });

  it('has names that say something', () => {
    expect(complaints(everything, rule.namesSaySomething)).toEqual([]);
  });

  it('has neither barrels nor default exports', () => {
    expect(complaints([...scripts, ...tests], rule.exportsAreNamed)).toEqual([]);
  });

  it('has tests whose titles are sentences', () => {
    expect(complaints(tests, rule.titlesAreSentences)).toEqual([]);
  });

  it('has tests that run, or say what they need', () => {
    expect(complaints(tests, rule.testsRunOrSayWhyNot)).toEqual([]);
  });
});

describe('the papers', () => {
  const linesOf = (path: string): number => readFileSync(path, 'utf8').trimEnd().split('\n').length;
  const folders = readdirSync('experiments');
  const papers = [
    ...['README.md', 'ARCHITECTURE.md', 'EXPERIMENTS.md'],
    ...readdirSync('docs').flatMap((name) => (name.endsWith('.md') ? [join('docs', name)] : [])),
    ...folders.map((folder) => join('experiments', folder, 'README.md')),
  ];

  it('are short: an architecture of 250 lines, an index of experiments of 150', () => {
    expect(linesOf('ARCHITECTURE.md')).toBeLessThanOrEqual(250);
    expect(linesOf('EXPERIMENTS.md')).toBeLessThanOrEqual(150);
  });

  it('name every floor, the lowest first', () => {
    const table = readFileSync('ARCHITECTURE.md', 'utf8').split('## Floors')[1]?.split('\n## ')[0];
    const rows = (table ?? '')
      .split('\n')
      .flatMap((line) => /^\| (`.+?`) \|/.exec(line)?.[1] ?? []);
    const named = rows.flatMap((row) => row.match(/[a-z.]+/g) ?? []);
    expect(named).toEqual(rule.FLOORS);
  });

  it('list every experiment in the index', () => {
    const index = readFileSync('EXPERIMENTS.md', 'utf8');
    expect(folders.filter((name) => !index.includes(`experiments/${name}/README.md`))).toEqual([]);
  });

  it('link to files that exist', () => {
    const broken = papers.flatMap((paper) =>
      [...readFileSync(paper, 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
        .map(([, target]) => target as string)
        .filter((target) => !existsSync(join(dirname(paper), target)))
        .map((target) => `${paper}: ${target}`),
    );
    expect(broken).toEqual([]);
  });
});

describe('the rules', () => {
  const read = (path: string, ...lines: string[]) => readSource(path, lines.join('\n'));

  it('refuse an import upwards, also of a type, on demand, or through a re-export', () => {
    const source = read(
      'src/graph/node.ts',
      "import type { Run } from '../runtime/run.ts';",
      "export { go } from '../engine/go.ts';",
      "const later = await import('../chat/chat.ts');",
      "import { clock } from '../base/clock.ts';",
    );
    expect(rule.importsRunDownwards(source)).toHaveLength(3);
  });

  it('find a circle of files, also of three, and name it once', () => {
    const sources = [
      read('src/base/a.ts', "import { b } from './b.ts';"),
      read('src/base/b.ts', "import type { C } from './c.ts';"),
      read('src/base/c.ts', "import { a } from './a.ts';", "import 'node:fs';"),
    ];
    expect(rule.circles(sources)).toEqual([
      'src/base/a.ts → src/base/b.ts → src/base/c.ts → src/base/a.ts',
    ]);
    expect(rule.circles(sources.slice(0, 2))).toEqual([]);
  });

  it('refuse a test that takes something from the bench', () => {
    const source = read('test/cli/a.test.ts', "import { go } from '../../bench/go.ts';");
    expect(rule.testsKnowNoBench(source)).toEqual([
      'test/cli/a.test.ts: imports bench/go.ts; move what it needs to test/',
    ]);
  });

  it('refuse a folder that has no floor', () => {
    expect(rule.importsRunDownwards(read('src/attic/box.ts'))[0]).toContain('no floor');
  });

  it('refuse a package outside its wall and a package without one', () => {
    const source = read(
      'src/chat/chat.ts',
      "import { WebSocket } from 'ws';",
      "import { z } from 'zod';",
      "import left from 'left-pad';",
      "import 'node:fs';",
    );
    expect(rule.packagesStayBehindTheirWalls(source)).toEqual([
      'src/chat/chat.ts: ws belongs to src/server, src/cli',
      'src/chat/chat.ts: left-pad has no wall; add it to WALLS',
    ]);
  });

  it('refuse node:fs where it is not known to read what is no part of the store', () => {
    const check = (path: string, line: string) => rule.theStoreGoesThroughFileOps(read(path, line));
    expect(check('src/night/a.ts', "import { rm } from 'node:fs/promises';")).toHaveLength(1);
    expect(check('src/night/a.ts', "const fs = await import('node:fs');")).toHaveLength(1);
    expect(check('src/base/a.ts', "import { rm } from 'node:fs/promises';")).toEqual([]);
  });

  it('measure a function by its own lines and name it', () => {
    const body = Array.from({ length: 59 }, () => '  go();');
    const long = read('src/base/a.ts', 'const run = () => {', ...body, '};', 'go();');
    expect(rule.functionsAreShort(long)).toEqual(['src/base/a.ts:1: run has 61 lines; split it']);
  });

  it('count what is declared inside a function apart, but not its callbacks', () => {
    const inner = Array.from({ length: 30 }, () => '  go();');
    const apart = ['function a() {', ...inner, '}', 'return { b() {', ...inner, '} };'];
    const callback = ['each(() => {', ...inner, '});', 'each(() => {', ...inner, '});'];
    const factory = read('src/base/a.ts', 'function make() {', ...apart, '}');
    const caller = read('src/base/a.ts', 'function call() {', ...callback, '}');
    expect(rule.functionsAreShort(factory)).toEqual([]);
    expect(rule.functionsAreShort(caller)).toHaveLength(1);
  });

  it('take two lines of comment for the first sentence, after a shebang too', () => {
    const good = read(
      'src/cli/main.ts',
      '#!/usr/bin/env node',
      '// Starts it all, and',
      '// ends it.',
    );
    const bad = [read('src/base/a.ts', 'const a = 1;'), read('src/base/a.ts', '// todo')];
    expect(rule.filesSayWhatTheyAre(good)).toEqual([]);
    expect(bad.flatMap(rule.filesSayWhatTheyAre)).toHaveLength(2);
  });

  it('refuse empty names, camel case, barrels and default exports', () => {
    const names = [
      'src/base/utils.ts',
      'src/base/types.ts',
      'src/base/fooBar.ts',
      'src/base/ok-1.ts',
    ];
    expect(names.flatMap((name) => rule.namesSaySomething(read(name)))).toHaveLength(3);
    expect(rule.exportsAreNamed(read('src/base/a.ts', "export * from './b.ts';"))).toHaveLength(1);
    expect(rule.exportsAreNamed(read('src/base/a.ts', 'export default 1;'))).toHaveLength(1);
  });

  it('refuse a test that only runs alone or is skipped without a need', () => {
    const source = read(
      'test/a.test.ts',
      "it.only('adds two numbers', () => {});",
      "it.skipIf(a)('adds on a GPU', () => {});",
      "it.skipIf(a)('adds on a GPU (needs CUDA)', () => {});",
      "it('works', () => {});",
    );
    expect(rule.testsRunOrSayWhyNot(source)).toHaveLength(2);
    expect(rule.titlesAreSentences(source)).toEqual([
      'test/a.test.ts: "works" is no sentence of behaviour',
    ]);
  });
});
