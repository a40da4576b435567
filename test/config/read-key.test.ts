// Holds the sources to the schema: a value that nobody reads is a promise that nobody keeps.
import { describe, expect, it } from 'vitest';
import { CONFIG_KEYS } from '../../src/config/key.ts';
import { type ReadName, readNames } from '../tidy/read-name.ts';
import { readSources } from '../tidy/source.ts';

/** Who is handed a whole section, and what it is called there: `folder: name`. */
const READERS: Readonly<Record<string, readonly string[]>> = {
  server: ['server: settings', 'server: rules'],
  'server.limits': ['conversation: options'],
  'chat.sampling': ['engine: settings'],
  'engine.upstream': ['upstream: settings'],
  flag: ['night: input'],
  memory: ['memory: settings'],
  dream: ['dream: settings', 'work: settings'],
  train: ['train: settings', 'train: TrainSettings'],
  gate: ['measure: settings', 'measure: GateSettings'],
  night: ['night: settings'],
};

function isRead(path: readonly string[], reads: readonly ReadName[]): boolean {
  const [name, section] = [path.at(-1), path.at(-2)];
  const readers = READERS[path.slice(0, -1).join('.')] ?? [];
  return reads.some((read) => {
    if (read.owner === section) return read.name === name || read.name === '*';
    return read.name === name && readers.includes(`${read.path.split('/')[1]}: ${read.owner}`);
  });
}

const dead = (keys: readonly string[], reads: readonly ReadName[]): string[] =>
  keys.filter((key) => !isRead(key.split('.'), reads));

const reads = readSources('src')
  .filter(({ path }) => !path.startsWith('src/config/'))
  .flatMap(({ path, lines }) => readNames(path, lines.join('\n')));

describe('a value of the configuration', () => {
  it('is read outside src/config, each of them', () => {
    expect(
      dead(
        CONFIG_KEYS.map(({ key }) => key),
        reads,
      ),
    ).toEqual([]);
  });

  it('is dead where no source names it, and where only another section has that name', () => {
    const added = ['measure.sinkTokens', 'gate.resamples', 'night.batchSize', 'memory.port'];
    expect(dead(added, reads)).toEqual(added);
  });
});

describe('a read', () => {
  const read = (text: string) => readNames('src/train/a.ts', text);
  const isFound = (key: string, text: string): boolean => isRead(key.split('.'), read(text));

  it('is found in a chain, in a pattern, in a pattern within one, and under another name', () => {
    expect(isFound('gate.sourcesMin', 'go(plan.config.gate.sourcesMin);')).toBe(true);
    expect(isFound('gate.sourcesMin', 'const { sourcesMin: least } = config.gate;')).toBe(true);
    expect(isFound('gate.sourcesMin', 'const { gate: { sourcesMin } } = config;')).toBe(true);
    expect(isFound('gate.sourcesMin', 'const { sourcesMin } = given ?? config.gate;')).toBe(false);
    expect(isFound('gate.sourcesMin', 'const { sourcesMin } = config.gate ?? given;')).toBe(true);
    expect(isFound('gate.sourcesMin', 'const own = config.gate; go(own.sourcesMin);')).toBe(true);
    expect(isFound('gate.sourcesMin', 'const { gate: own } = config; own.sourcesMin;')).toBe(true);
    expect(isFound('gate.sourcesMin', "(own: Config['gate']) => own.sourcesMin;")).toBe(true);
    expect(isFound('gate.sourcesMin', 'const own = config.train; go(own.sourcesMin);')).toBe(false);
    expect(isFound('memory.weights.flags', 'names.map((name) => weights[name]);')).toBe(true);
  });

  it('is found where a section is handed on as settings, in the folder that it is handed to', () => {
    expect(isFound('train.rank', 'const { rank } = options.settings;')).toBe(true);
    expect(isFound('train.rank', 'const { rank } = options;')).toBe(false);
    expect(isFound('train.rank', 'function go({ rank }: TrainSettings, seed = 1) {}')).toBe(true);
    expect(isFound('train.rank', 'function go({ rank }: TensorSettings) {}')).toBe(false);
    expect(isFound('gate.sourcesMin', "({ sourcesMin }: Config['gate']) => sourcesMin;")).toBe(
      true,
    );
    expect(isFound('gate.sourcesMin', 'settings.sourcesMin;')).toBe(false);
  });

  it('is not found in what is written, named in a text or read of something else', () => {
    const texts = ['gate = { sourcesMin: 1 };', '"gate.sourcesMin";', 'tensor.rank; sourcesMin;'];
    for (const text of texts) {
      expect(isFound('gate.sourcesMin', text)).toBe(false);
      expect(isFound('train.rank', text)).toBe(false);
    }
  });
});
