import {
  appendFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/hash.ts';
import {
  type Deletion,
  deleteSource,
  hasLearntWithheld,
  type NightTexts,
} from '../../src/ledger/deletion.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { type Manifest, manifestHash, nightId } from '../../src/ledger/manifest.ts';
import { verifyLedger, verifyLedgers } from '../../src/ledger/verify.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';

const BASE = sha256('a base model');
const OPTIONS = { base: BASE, files: NIGHT_FILES };
const AT = '2026-11-22T03:00:00.000Z';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-ledger-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function addNight(
  ledger: Ledger,
  talk = 'talk-1',
  more: Pick<Manifest, 'encoding'> = {},
): Promise<Manifest> {
  const { number, parent } = await ledger.next();
  const night = nightId(number, '2026-11-22');
  const { path: building } = await ledger.building(night);
  await writeFile(join(building, 'delta.safetensors'), `delta ${number}`);
  await writeFile(join(building, 'scenarios.jsonl'), `{"from":"${talk}"}\n{"from":"other"}\n`);
  const manifest = await ledger.commit({
    night,
    number,
    day: '2026-11-22',
    base: BASE,
    ...more,
    parent,
    inForce: [],
    seed: 1,
    config: sha256('config'),
    software: { attune: '0.1.0' },
    data: [{ source: sha256(talk), scenario: sha256('scenario') }],
    delta: {
      file: 'delta.safetensors',
      hash: sha256(`tensors ${number}`),
      relativeNorm: 0.01,
      steps: 3,
    },
    gate: { passed: true, reasons: [] },
    startedAt: AT,
    endedAt: AT,
  });
  // As when it is finished.
  await ledger.seal(manifest);
  return manifest;
}

describe('ledger', () => {
  it('chains each night to the one before and verifies as sound', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const first = await addNight(ledger);
    const second = await addNight(ledger);
    expect(first.parent).toBeNull();
    expect(second.parent?.night).toBe(first.night);
    expect(await verifyLedger(ledger)).toMatchObject({ nights: 2, isSound: true, findings: [] });
  });

  it('keeps the pointer and the decisions across a restart', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const night = await addNight(ledger);
    expect(ledger.statusOf(night)).toBe('waiting');
    await ledger.setHead({
      inForce: [night.night],
      nights: { [night.night]: { status: 'in-force', at: AT, why: 'gate passed' } },
    });
    const again = await openLedger(folder, OPTIONS);
    expect(again.head().inForce).toEqual([night.night]);
    expect(again.statusOf(night)).toBe('in-force');
    expect((await again.deltaFiles(again.head().inForce)).map(({ path }) => path)).toEqual([
      join(folder, 'nights', night.night, 'delta.safetensors'),
    ]);
  });

  it('shows no night that was begun and not committed', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    await ledger.building('n0001-2026-11-22');
    expect(await ledger.list()).toEqual([]);
    expect(await ledger.unfinished()).toEqual(['n0001-2026-11-22']);
    await ledger.discard('n0001-2026-11-22');
    expect(await ledger.unfinished()).toEqual([]);
  });

  it('seals no half-written file that a crash left', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const { path: building } = await ledger.building(nightId(1, '2026-11-22'));
    await writeFile(join(building, '.flagged.json.0123456789ab.tmp'), '[{"words":');
    const night = await addNight(ledger);
    expect(Object.keys(night.files)).toEqual(['delta.safetensors', 'scenarios.jsonl']);
    expect(await readdir(ledger.folderOf(night.night).path)).toHaveLength(3);
  });

  it('seals no copy of a torn line, in a form that no deletion could search', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const { path } = await ledger.building(nightId(1, '2026-11-22'));
    await writeFile(join(path, 'steps.jsonl.damaged'), '{"key":"0:0","base64":"eyJ0YWxrIjo="}');
    expect(Object.keys((await addNight(ledger)).files)).not.toContain('steps.jsonl.damaged');
  });

  it.each([
    ['a file', (at: string) => writeFile(join(at, 'notes.json'), '["words"]')],
    ['a folder', (at: string) => mkdir(join(at, 'notes.json'))],
  ])('refuses to commit %s that a deletion would not search', async (_, add) => {
    const ledger = await openLedger(folder, OPTIONS);
    const { path } = await ledger.building(nightId(1, '2026-11-22'));
    await add(path);
    await expect(addNight(ledger)).rejects.toMatchObject({
      code: 'night-file-unknown',
      facts: { file: 'notes.json' },
    });
    expect(await ledger.list()).toEqual([]);
    await rm(join(path, 'notes.json'), { recursive: true });
    await addNight(ledger);
    expect(await ledger.list()).toHaveLength(1);
  });

  it('says which active night learnt under another tokenizer or template than speaks', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const { night: old } = await addNight(ledger);
    const { night } = await addNight(ledger, 'talk-2', { encoding: sha256('a template') });
    await ledger.setHead({ inForce: [old, night] });
    const speaking = (encoding: string) => ({ base: BASE, encoding: sha256(encoding) });
    const same = await verifyLedgers([ledger], speaking('a template'));
    expect(same.ledgers[0]?.findings).toEqual([]);
    const other = await verifyLedgers([ledger], speaking('another template'));
    const text = 'learnt under another tokenizer or chat template than the one that speaks';
    expect(other.isSound).toBe(true);
    expect(other.ledgers[0]?.findings).toEqual([{ night, kind: 'encoding-changed', text }]);
    const elsewhere = { base: sha256('another base'), encoding: sha256('another template') };
    expect((await verifyLedgers([ledger], elsewhere)).ledgers[0]?.findings).toEqual([]);
  });

  it('sets a pointer aside that names another base model, cannot be read or leads elsewhere', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const night = await addNight(ledger);
    const path = join(folder, 'head.json');
    const whole = await readFile(path, 'utf8');
    const squashed = '"squashed": {"nights": [], "file": "../../elsewhere", "hash": ""}';
    for (const text of [
      whole.replace(BASE, sha256('another')),
      whole.slice(0, 40),
      whole.replace('"squashed": null', squashed),
    ]) {
      await rm(`${path}.damaged`, { force: true });
      await writeFile(path, text);
      const again = await openLedger(folder, OPTIONS);
      expect(again.head().inForce).toEqual([]);
      expect(again.statusOf(night)).toBe('waiting');
      expect(await readFile(`${path}.damaged`, 'utf8')).toBe(text);
      expect((await verifyLedger(again)).findings[0]?.text).toContain('head.json');
    }
  });

  it('goes on behind a night that cannot be read, after the last that was sealed', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    await addNight(ledger);
    const second = await addNight(ledger);
    const path = join(ledger.folderOf(second.night).path, 'manifest.json');
    await writeFile(path, '{"schema":');
    expect(await ledger.next()).toEqual({
      number: 3,
      parent: { night: second.night, hash: manifestHash(second) },
    });
    await addNight(ledger);
    expect((await ledger.list()).map(({ number }) => number)).toEqual([1, 3]);
    const { findings } = await verifyLedger(ledger);
    expect(findings.map(({ night }) => night)).toEqual([second.night]);
  });

  it('refuses night ids that are none, also as paths', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    for (const id of ['n0001-2026-11-22', '../head', '', 'n1']) {
      await expect(ledger.read(id)).rejects.toMatchObject({ code: 'night-unknown' });
    }
    await expect(ledger.building('../../x')).rejects.toThrow();
  });
});

describe('verify', () => {
  it('finds a changed delta, a missing file and an added file', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const night = await addNight(ledger);
    const at = ledger.folderOf(night.night).path;
    await appendFile(join(at, 'delta.safetensors'), 'x');
    await rm(join(at, 'scenarios.jsonl'));
    await writeFile(join(at, 'extra.json'), '{}');
    const { isSound, findings } = await verifyLedger(ledger);
    expect(isSound).toBe(false);
    expect(findings.map((finding) => finding.text)).toEqual([
      'delta.safetensors was changed',
      'scenarios.jsonl is missing',
      'extra.json was added later',
    ]);
  });

  it('takes what was torn of the journal after the commit for no damage', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const { path } = ledger.folderOf((await addNight(ledger)).night);
    await writeFile(join(path, 'journal.jsonl'), '{"phase":"sw');
    await writeFile(join(path, 'journal.jsonl.damaged'), '{"key":"0:0"}');
    expect(await verifyLedger(ledger)).toMatchObject({ isSound: true, findings: [] });
  });

  it('finds a manifest that was edited, by the hash its child holds', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const night = await addNight(ledger);
    await addNight(ledger);
    const path = join(ledger.folderOf(night.night).path, 'manifest.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"seed": 1', '"seed": 2'));
    const { isSound, findings } = await verifyLedger(ledger);
    expect(isSound).toBe(false);
    expect(findings[0]?.text).toContain('the chain is broken');
  });

  it('finds a night that was taken out of the middle', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    await addNight(ledger);
    const night = await addNight(ledger);
    await addNight(ledger);
    await rename(ledger.folderOf(night.night).path, join(folder, 'elsewhere'));
    expect((await verifyLedger(ledger)).isSound).toBe(false);
  });

  it('lists everything that is damaged instead of failing, and changes nothing', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const [first, second] = [await addNight(ledger), await addNight(ledger)];
    await writeFile(join(ledger.folderOf(first.night).path, 'manifest.json'), '{"schema":');
    await writeFile(join(ledger.folderOf(second.night).path, 'deleted.json'), '');
    await appendFile(join(ledger.folderOf(second.night).path, 'delta.safetensors'), 'x');
    await mkdir(join(folder, 'nights', 'n0003-2026-11-22'));
    await writeFile(join(folder, 'head.json'), 'x');
    const files = await readdir(folder, { recursive: true });
    const asItIs = await openLedger(folder, { ...OPTIONS, isReadOnly: true });
    const { isSound, findings } = await verifyLedger(asItIs);
    expect(isSound).toBe(false);
    const texts = findings.map(({ text }) => text).join('\n');
    for (const part of ['head.json is not JSON', 'manifest.json is not JSON', 'has no manifest'])
      expect(texts).toContain(part);
    expect(texts).toMatch(/deleted\.json is not JSON[\s\S]*delta\.safetensors was changed/);
    expect(await readdir(folder, { recursive: true })).toEqual(files);
  });

  it('finds the newest night edited or gone, and a pointer edited or gone', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    await addNight(ledger);
    const { night } = await addNight(ledger);
    const manifest = join(ledger.folderOf(night).path, 'manifest.json');
    const head = join(folder, 'head.json');
    const findings = async (): Promise<string> =>
      JSON.stringify((await verifyLedger(await openLedger(folder, OPTIONS))).findings);
    const edited = async (path: string, change: (text: string) => string): Promise<string> => {
      const whole = await readFile(path, 'utf8');
      await writeFile(path, change(whole));
      const found = await findings();
      await writeFile(path, whole);
      return found;
    };
    expect(await findings()).toBe('[]');
    const flipped = (text: string): string => text.replace('"passed": true', '"passed": false');
    expect(await edited(manifest, flipped)).toContain('its manifest was changed');
    expect(
      await edited(head, (text) => text.replace('"inForce": []', `"inForce": ["${night}"]`)),
    ).toContain('something other than Attune');
    await rename(ledger.folderOf(night).path, join(folder, 'elsewhere'));
    expect(await findings()).toContain('the newest night is missing');
    await rename(join(folder, 'elsewhere'), ledger.folderOf(night).path);
    await rm(head);
    expect(await findings()).toContain('head.json is missing');
  });

  it('finds a pointer to a night that is not there', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    await ledger.setHead({ inForce: ['n0009-2026-11-22'] });
    expect((await verifyLedger(ledger)).findings[0]?.text).toContain('not in the ledger');
  });
});

describe('deleting what a night learnt from', () => {
  const left: Deletion['left'] = (texts) => ({
    texts: new Map(
      [...texts].map(([name, text]) => [name, text.replace('{"from":"talk-1"}\n', '')]),
    ),
    hasTrained: [...texts.keys()].includes('scenarios.jsonl'),
    ids: new Set(),
  });

  it('takes out the texts of that source only, names the nights and stays sound', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const touched = await addNight(ledger);
    await addNight(ledger, 'talk-2');
    expect(await deleteSource(ledger, 'talk-1', { at: AT, left })).toEqual([touched.night]);
    const text = await readFile(
      join(ledger.folderOf(touched.night).path, 'scenarios.jsonl'),
      'utf8',
    );
    expect(text).toBe('{"from":"other"}\n');
    const { isSound, findings } = await verifyLedger(ledger);
    expect(isSound).toBe(true);
    expect(findings).toEqual([
      {
        night: touched.night,
        kind: 'data-deleted',
        text: `scenarios.jsonl: data deleted on ${AT}`,
      },
    ]);
    const hasLearnt = (await ledger.list()).map((one) =>
      hasLearntWithheld(ledger.folderOf(one.night)),
    );
    expect(await Promise.all(hasLearnt)).toEqual([true, false]);
  });

  it('reaches a night that was copied beside itself, and one in which no file is where it was', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const { night } = await addNight(ledger);
    const { path } = ledger.folderOf(night);
    const copy = ledger.folderOf('n0009-2026-11-22').path;
    await cp(path, copy, { recursive: true });
    const beside = ledger.folderOf('n0008-2026-11-22').path;
    await cp(path, beside, { recursive: true });
    await rm(join(beside, 'scenarios.jsonl'));
    await mkdir(join(beside, 'scenarios.jsonl'));
    await writeFile(join(beside, 'gists.json'), '["talk-1"]');
    const removed = (texts: NightTexts) => ({
      ...{ hasTrained: true, ids: new Set<string>() },
      texts: new Map([...texts.keys()].map((name) => [name, name === 'gists.json' ? null : ''])),
    });
    const nights = await deleteSource(ledger, 'talk-1', { at: AT, left: removed });
    expect(nights).toEqual([night, 'n0008-2026-11-22', 'n0009-2026-11-22']);
    for (const one of [path, copy, beside])
      expect(await readFile(join(one, 'scenarios.jsonl'), 'utf8')).toBe('');
  });

  it('discards a night under way that names the source, and no other', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    for (const [night, talk] of [
      ['n0001-2026-11-22', 'talk-1'],
      ['n0002-2026-11-22', 'talk-10'],
    ] as const) {
      await writeFile(
        join((await ledger.building(night)).path, 'gists.json'),
        `[{"from":"${talk}"}]`,
      );
    }
    expect(await deleteSource(ledger, 'talk-1', { at: AT, left })).toEqual([]);
    expect(await ledger.unfinished()).toEqual(['n0002-2026-11-22']);
  });

  it('still finds a text that was changed after the deletion', async () => {
    const ledger = await openLedger(folder, OPTIONS);
    const night = await addNight(ledger);
    await deleteSource(ledger, 'talk-1', { at: AT, left });
    await appendFile(join(ledger.folderOf(night.night).path, 'scenarios.jsonl'), '{"from":"x"}\n');
    expect((await verifyLedger(ledger)).isSound).toBe(false);
  });
});
