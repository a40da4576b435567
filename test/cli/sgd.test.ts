import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { isHeldBack, plainPairs, readSgdMoments } from '../../src/cli/conversation/sgd.ts';
import { featureText } from '../../src/scenario/span.ts';

const folder = mkdtempSync(join(tmpdir(), 'attune-sgd-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const moment = { id: '1_1', kind: 'decline_push', changes: [], reply: 'Fine.', foil: null };
const good = `${JSON.stringify(moment)}\n`;
const refusal = (message: RegExp) => ({
  code: 'message-invalid',
  message: expect.stringMatching(message),
});

describe('a file of moments', () => {
  it('is read as it is and gzipped', async () => {
    expect(await readSgdMoments(write('plain.jsonl', good))).toEqual([moment]);
    expect(await readSgdMoments(write('packed.jsonl.gz', gzipSync(good)))).toEqual([moment]);
  });

  it('is refused with its line where that is not JSON', async () => {
    const path = write('torn.jsonl', `${good}{"id":`);
    await expect(readSgdMoments(path)).rejects.toMatchObject(refusal(/torn\.jsonl:2 is not JSON/));
  });

  it('is refused with its line and field where a field is missing', async () => {
    const path = write('other.jsonl', '{"id":"demo-01"}');
    await expect(readSgdMoments(path)).rejects.toMatchObject(refusal(/:1: kind: /));
  });

  it('is refused where its gzip is cut off', async () => {
    const path = write('cut.jsonl.gz', gzipSync(good).subarray(0, 30));
    await expect(readSgdMoments(path)).rejects.toMatchObject(refusal(/cannot be read to its end/));
  });

  it('is refused where it does not exist', async () => {
    const path = join(folder, 'nowhere');
    await expect(readSgdMoments(path)).rejects.toMatchObject(refusal(/There is no file/));
  });
});

describe('a moment of a dialogue', () => {
  const user = (text: string) => ({ role: 'user' as const, text, acts: [] });
  const assistant = (text: string) => ({ role: 'assistant' as const, text, acts: [] });
  const dialogue = {
    id: '1_3',
    services: ['Trips_1'],
    turns: [
      user('A table at 5 pm.'),
      assistant('Sure. You said 5 pm for a table?'),
      user('Make it 7 pm.'),
      assistant('So 7 pm, right?'),
    ],
  };
  const changed = {
    id: '1_3#2',
    kind: 'correct_confirm',
    changes: [['time', '5 pm', '7 pm'] as [string, string, string]],
    reply: 'So 7 pm, right?',
    foil: 'So 5 pm, right?',
  };

  it('is a scenario up to the direction, with the real reply against the foil', () => {
    const [scenario, ...more] = plainPairs([changed], [dialogue]);
    expect(more).toEqual([]);
    expect(scenario).toMatchObject({ chosen: changed.reply, rejected: changed.foil });
    expect(scenario?.messages).toHaveLength(3);
    expect(scenario?.source).toMatchObject({ cluster: '1_3', domain: 'Trips_1' });
    expect(scenario && featureText(scenario, 'direction')).toEqual(['Make it 7 pm.']);
    expect(scenario && featureText(scenario, 'own-idea')).toEqual(['You said 5 pm for a table?']);
  });

  it('is left out where its foil has a raw value, is the reply, or is none', () => {
    for (const foil of ['So dontcare, right?', changed.reply, null]) {
      expect(plainPairs([{ ...changed, foil }], [dialogue])).toEqual([]);
    }
  });

  it('is left out where its dialogue is not given or the turn is not of the person', () => {
    expect(plainPairs([changed], [])).toEqual([]);
    expect(plainPairs([{ ...changed, id: '1_3#1' }], [dialogue])).toEqual([]);
  });

  it('is held back from pre-training by the hash of its dialogue, a third of all', () => {
    expect(isHeldBack('1_00000')).toBe(false);
    const count = [...Array(300).keys()].filter((i) => isHeldBack(`${i}`)).length;
    expect(count).toBeGreaterThan(70);
    expect(count).toBeLessThan(130);
  });
});
