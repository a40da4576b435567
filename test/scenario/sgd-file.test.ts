import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readSgdMoments } from '../../src/scenario/sgd-file.ts';

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
