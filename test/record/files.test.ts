import { beforeEach, describe, expect, it } from 'vitest';
import type { Folder } from '../../src/base/file-ops.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Draft } from '../../src/dream/draft.ts';
import { compress } from '../../src/memory/gist.ts';
import type { Remembered } from '../../src/memory/memory.ts';
import * as files from '../../src/record/files.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

const PATH = '/ledger/building/n0001-2026-03-03';
let disk: MemoryDisk;
let folder: Folder;
beforeEach(() => {
  disk = new MemoryDisk();
  folder = { path: PATH, ops: disk };
});

const moment: FlaggedMoment = {
  flagId: 'flag-1',
  strength: 2,
  isHeldBack: false,
  kind: 'missed',
  context: {
    id: 'flag-flag-1',
    kind: 'listen',
    messages: [{ role: 'user', content: 'The blue one, please.' }],
    spans: [{ feature: 'direction', message: 0, start: 0, end: 12 }],
    source: { origin: 'flag', cluster: 'talk-1', domain: 'talk' },
  },
  chosen: 'The blue one it is.',
  rejected: 'I like the red one.',
};

const draft: Draft = {
  id: 'dream-1',
  kind: 'listen',
  messages: [{ role: 'user', content: 'The quiet room.' }],
  spans: [],
  seed: { origin: 'memory', id: 'gist-1', cluster: 'talk-2' },
  angle: { domain: 'home', distance: 0 },
  prompt: { name: 'p', hash: 'h' },
  sampledShare: 0,
};

const scenario = parseScenario({
  id: 'listen-1',
  kind: 'listen',
  messages: [{ role: 'user', content: 'The round table.' }],
  chosen: 'The round table it is.',
  rejected: 'Who needs a table?',
  source: { origin: 'dream', cluster: 'talk-3', domain: 'home' },
});

describe('the table of a night’s files', () => {
  it('names each file once, and every file is either searched at a deletion or holds no words', () => {
    const { withWords, withoutWords } = files.NIGHT_FILES;
    const all = [...withWords, ...withoutWords];
    expect(new Set(all).size).toBe(all.length);
    expect([...all].sort()).toEqual(Object.values(files.FILE).sort());
  });

  it('has what says whose words are elsewhere after what it says it of', () => {
    const order = files.NIGHT_FILES.withWords;
    const isBefore = (one: string, other: string) => order.indexOf(one) < order.indexOf(other);
    for (const scored of ['probe.json', 'measures.json', 'steps.jsonl', 'summary.json']) {
      expect(isBefore(scored, 'scenarios.jsonl')).toBe(true);
    }
    expect(isBefore('replies.json', 'flagged.json')).toBe(true);
    expect(isBefore('summary.md', 'summary.json')).toBe(true);
  });
});

describe('the files of a night', () => {
  it('come back as they were written', async () => {
    const turns = [{ id: 'm1', role: 'user' as const, text: 'I feel tired.' }];
    const talk = { conversationId: 'talk-2', restedAt: 1, turns, flags: [] };
    const { memory } = configSchema.parse({});
    const gists: Remembered[] = [{ gist: await compress(talk, memory), salience: 0.5 }];
    await files.writeFlagged(folder, [moment]);
    await files.writeGists(folder, gists);
    await files.writeDrafts(folder, [draft]);
    await files.writeScenarios(folder, 'scenarios', [scenario]);
    expect(await files.readFlagged(folder)).toEqual([moment]);
    expect(await files.readGists(folder)).toEqual(gists);
    expect(await files.readDrafts(folder)).toEqual([draft]);
    expect(await files.readScenarioFile(folder, 'scenarios')).toEqual([scenario]);
  });

  it('are written under the names of the table, whole or not at all', async () => {
    await files.writeFlagged(folder, [moment]);
    const before = disk.text(`${PATH}/flagged.json`);
    disk.beforeStep = (step) => {
      if (step.kind === 'sync') throw new Error('power');
    };
    await expect(files.writeFlagged(folder, [])).rejects.toThrow('power');
    expect(disk.text(`${PATH}/flagged.json`)).toBe(before);
    expect([...disk.names.keys()]).toEqual([`${PATH}/flagged.json`]);
  });

  it('of dreams name the talk that a dream came from, so that a deletion finds it', async () => {
    await files.writeDrafts(folder, [draft]);
    expect(disk.text(`${PATH}/dreams.jsonl`)).toContain('"source":{"cluster":"talk-2"}');
  });

  it('of dreams and scenarios are empty where a night before had none', async () => {
    expect(await files.readDrafts(folder)).toEqual([]);
    expect(await files.readScenarioFile(folder, 'own')).toEqual([]);
  });

  it.each([
    ['missing', undefined],
    ['of another form', '[{"flagId":"flag-1"}]'],
    ['with a field more', JSON.stringify([{ ...moment, extra: 1 }])],
  ])('of moments are refused when %s', async (_, text) => {
    const ops = new MemoryDisk(text === undefined ? {} : { [`${PATH}/flagged.json`]: text });
    await expect(files.readFlagged({ path: PATH, ops })).rejects.toMatchObject({
      code: 'night-failed',
    });
  });
});
