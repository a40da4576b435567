// The rules of the house (CONVENTIONS): each is given a source and says what is wrong with it.
import type { Source } from './source.ts';

/** Lowest first: a file imports from its own folder and from folders before it. */
export const FLOORS = [
  'base',
  'protocol',
  'config',
  'prompt',
  'schedule',
  'gguf',
  'tokenizer',
  'graph',
  'runtime',
  'model',
  'conversation',
  'flag',
  'engine',
  'upstream',
  'scenario',
  'teach',
  'memory',
  'reading',
  'measure',
  'listen',
  'train',
  'dream',
  'ledger',
  'swap',
  'record',
  'work',
  'morning',
  'store',
  'night',
  'chat',
  'server',
  'main.ts',
  'cli',
];

/** In which folders of `src` a package may be imported. Zod reads what comes from outside, anywhere. */
export const WALLS: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['runtime'],
  '@tensorflow': ['runtime'],
  '@huggingface': ['tokenizer'],
  'node-cron': ['schedule'],
  ws: ['server', 'cli'],
  commander: ['cli'],
  lowdb: ['base'],
  pino: ['base'],
  yaml: ['config', 'prompt', 'cli'],
  zod: FLOORS,
};

/**
 * Who may use `node:fs` beside `base`: what reads the installation, a model or a file that a person
 * names. Whatever is below store/ goes through `FileOps`.
 */
const READERS = [
  'src/base/',
  'src/cli/',
  'src/listen/suite.ts',
  'src/model/checkpoint/checkpoint.ts',
  'src/model/checkpoint/folder.ts',
  'src/model/export.ts',
  'src/model/local/',
  'src/model/model.ts',
  'src/prompt/prompt.ts',
  'src/runtime/',
  'src/scenario/file.ts',
  'src/scenario/phrases.ts',
  'src/server/static-files.ts',
  'src/tokenizer/',
  'src/upstream/adapter-host.ts',
  'src/work/suite.ts',
];

/** A file holds one idea; most have 60 to 250 lines. */
const FILE_LINES_MAX = 450;
/** More than this in one folder are two rooms. */
const FOLDER_FILES_MAX = 24;
const FUNCTION_LINES_MAX = 60;
const COLUMNS_MAX = 100;
/** An address, or a line that ends in a regular expression. */
const UNBREAKABLE = /https?:\/\/|(^|[\s(,[:])\/\S.*\/[a-z]*[\])},;]*$/;
/** A line that ends in a text, which is read and searched for better whole. */
const TEXT = /['"`][\])},;]*( \+)?$/;
const TEXT_COLUMNS_MAX = 140;
const EMPTY_NAMES = /^(utils?|helpers?|common|types|misc|shared|index|lib)(\.|$)/;
const NAME = /^(\.?[a-z0-9]+(-[a-z0-9]+)*)(\.[a-z0-9-]+)*$/;

type Rule = (source: Source) => readonly string[];

/** `base` of src/base/clock.ts, `main.ts` of src/main.ts. */
const floorOf = (path: string): string => path.split('/')[1] as string;

export const importsRunDownwards: Rule = ({ path, imports }) => {
  const own = FLOORS.indexOf(floorOf(path));
  if (own < 0) return [`${path}: ${floorOf(path)} is no floor; add it to FLOORS in its place`];
  return imports
    .filter((target) => target.includes('/') && target.endsWith('.ts'))
    .filter((target) => !target.startsWith('src/') || FLOORS.indexOf(floorOf(target)) > own)
    .map(
      (target) => `${path}: ${floorOf(path)} is below ${target}; take it as an argument instead`,
    );
};

/** Files that import each other in a loop, each loop once, from its first file. */
export function circles(sources: readonly Pick<Source, 'path' | 'imports'>[]): string[] {
  const importsOf = new Map(sources.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    const at = above.indexOf(path);
    if (at >= 0) found.push([...above.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    for (const next of importsOf.get(path) ?? []) {
      if (importsOf.has(next)) visit(next, [...above, path]);
    }
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return found;
}

export function crowdedFolders(sources: readonly Source[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of sources) {
    const folder = path.slice(0, path.lastIndexOf('/'));
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > FOLDER_FILES_MAX)
    .map(([folder, count]) => `${folder}: ${count} files; make rooms of it`);
}

/** What a test needs stands in `test`; `bench` may take it from there. */
export const testsKnowNoBench: Rule = ({ path, imports }) =>
  imports
    .filter((target) => target.startsWith('bench/'))
    .map((target) => `${path}: imports ${target}; move what it needs to test/`);

export const packagesStayBehindTheirWalls: Rule = ({ path, imports }) =>
  imports
    .filter((target) => !/^(node:|src\/|test\/|\.\.)/.test(target))
    .flatMap((target) => {
      const wall = Object.keys(WALLS).find(
        (name) => target === name || target.startsWith(`${name}/`),
      );
      if (wall === undefined) return [`${path}: ${target} has no wall; add it to WALLS`];
      const folders = WALLS[wall] as readonly string[];
      if (folders.includes(floorOf(path))) return [];
      return [`${path}: ${target} belongs to src/${folders.join(', src/')}`];
    });

export const theStoreGoesThroughFileOps: Rule = ({ path, imports }) => {
  const isFree = READERS.some((reader) => path.startsWith(reader));
  const usesDisk = imports.some((target) => /^node:fs(\/|$)/.test(target));
  return usesDisk && !isFree ? [`${path}: node:fs; go through FileOps, or name it in READERS`] : [];
};

/** Of `READERS`, what no longer needs to be there. */
export function idleReaders(sources: readonly Source[]): string[] {
  const users = sources.filter(({ imports }) => imports.some((one) => /^node:fs(\/|$)/.test(one)));
  return READERS.filter((reader) => !users.some(({ path }) => path.startsWith(reader)));
}

export const filesAreShort: Rule = ({ path, lines }) =>
  lines.length > FILE_LINES_MAX ? [`${path}: ${lines.length} lines; split it`] : [];

export const functionsAreShort: Rule = ({ path, functions }) =>
  functions
    .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
    .map(({ name, line, lines }) => `${path}:${line}: ${name} has ${lines} lines; split it`);

/** Addresses and patterns cannot be broken, and a message is better whole. */
export const linesAreShort: Rule = ({ path, lines }) =>
  lines.flatMap((text, i) => {
    const columns = [...text].length;
    const most = TEXT.test(text) ? TEXT_COLUMNS_MAX : COLUMNS_MAX;
    if (columns <= most || UNBREAKABLE.test(text)) return [];
    return [`${path}:${i + 1}: ${columns} columns`];
  });

/** One sentence in `//` before anything else; `#!` may precede it, and it may take two lines. */
export const filesSayWhatTheyAre: Rule = ({ path, lines }) => {
  const body = lines[0]?.startsWith('#!') ? lines.slice(1) : lines;
  const end = body.findIndex((line) => !line.startsWith('// '));
  const head = body.slice(0, end < 0 ? body.length : end).map((line) => line.slice(3));
  if (head.length === 0) return [`${path}: the first line must say in one sentence what it is`];
  // A sentence may begin with the name of a file or a symbol.
  const isBegun = /^([\p{Lu}\p{N}\p{P}`]|\S*[._])/u.test(head[0] as string);
  const isSentence = isBegun && head.join(' ').endsWith('.');
  return isSentence ? [] : [`${path}: the first line is no sentence: ${head.join(' ')}`];
};

export const namesSaySomething: Rule = ({ path }) =>
  path.split('/').flatMap((part) => {
    if (EMPTY_NAMES.test(part)) return [`${path}: the name ${part} says nothing`];
    return NAME.test(part) ? [] : [`${path}: ${part} is not in kebab-case`];
  });

export const exportsAreNamed: Rule = ({ path, isBarrel, hasDefaultExport }) => [
  ...(isBarrel ? [`${path}: a barrel; import from where things are`] : []),
  ...(hasDefaultExport ? [`${path}: a default export; give it a name`] : []),
];

export const titlesAreSentences: Rule = ({ path, titles }) =>
  titles
    .filter((title) => title.trim().split(/\s+/).length < 3 && !/[$%]/.test(title))
    .map((title) => `${path}: "${title}" is no sentence of behaviour`);

/** `only` and `todo` never stay; what is skipped says in its title what it needs. */
export const testsRunOrSayWhyNot: Rule = ({ path, modifiers }) =>
  modifiers.flatMap(({ name, title }) => {
    if (name === 'only' || name === 'todo') {
      return [`${path}: .${name} on "${title}"; let it run, or use skipIf with a condition`];
    }
    const isLoud =
      !/^(skip|skipIf|runIf)$/.test(name) || /\b(needs?|cannot be run)\b|\(.+\)$|[$%]/.test(title);
    return isLoud ? [] : [`${path}: "${title}" may be skipped; say what it needs ("… (needs X)")`];
  });
