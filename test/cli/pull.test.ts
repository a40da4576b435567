import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesText, createProgressBar } from '../../src/cli/hub/progress-bar.ts';
import { pull } from '../../src/cli/hub/pull.ts';
import { folderFiles } from './hub-models.ts';
import { COMMIT, type HubServer, startHub } from './hub-server.ts';

const MODEL = folderFiles();
const weights = MODEL['model.safetensors'] as Buffer;
const SIZE = weights.length;
const FILES = {
  ...MODEL,
  'pytorch_model.bin': Buffer.from('other weights'),
  'onnx/model.onnx': Buffer.from('other weights'),
};

let folder: string;
let hub: HubServer;
let said: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'attune-pull-')), 'm');
  hub = await startHub(FILES);
  said = '';
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(more: Partial<Parameters<typeof pull>[0]> = {}): Promise<string> {
  return pull({
    source: 'o/m',
    folder,
    storePath: folder,
    environment: { HF_ENDPOINT: hub.endpoint, HF_HOME: folder },
    output: { write: (text) => (said += text) },
    stallMs: 2000,
    attemptsMax: 2,
    rangeBytes: 6000,
    ...more,
  });
}

const content = (name: string) => readFile(join(folder, name));
const asked = (name: string) => hub.requests.filter(({ url }) => url.endsWith(name));
/** Without the look at the head. */
const fetched = (name: string) => asked(name).filter(({ range }) => range !== LOOK);
const LOOK = `bytes=0-${SIZE - 1}`;

describe('pull', () => {
  it('fetches what a model is made of, whole, and leaves other formats', async () => {
    await run();
    expect((await readdir(folder)).sort()).toEqual([
      'attune-pull.json',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(await content('model.safetensors')).toEqual(weights);
    expect(JSON.parse((await content('attune-pull.json')).toString())).toMatchObject({
      schema: 1,
      repository: 'o/m',
      commit: COMMIT,
    });
    expect(said).toContain('model.safetensors 15.8 kB\n');
  });

  it('fetches large files in ranges of the commit that the revision stood for', async () => {
    await run({ source: 'o/m@v1.0' });
    expect(hub.requests[0]?.url).toBe('/api/models/o/m/revision/v1.0');
    expect(fetched('model.safetensors').map(({ range }) => range)).toEqual([
      'bytes=0-5999',
      'bytes=6000-11999',
      `bytes=12000-${SIZE - 1}`,
    ]);
    expect(asked('model.safetensors')[0]?.url).toContain(COMMIT);
  });

  it('fetches nothing twice: a second pull only proves what is there', async () => {
    await run();
    const before = hub.requests.length;
    await run();
    expect(hub.requests.slice(before).every(({ url }) => url.startsWith('/api/'))).toBe(true);
  });

  it('fetches a file again that was changed on disk', async () => {
    await run();
    await writeFile(join(folder, 'model.safetensors'), Buffer.alloc(SIZE));
    await run();
    expect(await content('model.safetensors')).toEqual(weights);
  });

  it('goes on after a broken connection, from where it broke', async () => {
    hub.faults = { cutAfter: { bytes: 700, times: 1 } };
    await run({ rangeBytes: 1e6 });
    expect(await content('model.safetensors')).toEqual(weights);
    // Six pieces of the look at the head, then two of the download.
    hub.faults = { cutAfter: { bytes: 3000, times: 8 } };
    await rm(join(folder, 'model.safetensors'));
    await run({ rangeBytes: 1e6 });
    expect(asked('model.safetensors').at(-1)?.range).toBe(`bytes=6000-${SIZE - 1}`);
    expect(await content('model.safetensors')).toEqual(weights);
  });

  it('goes on in another run with the pieces that are there', async () => {
    hub.faults = { refuse: { status: 403, times: 0 } };
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors.part'), weights.subarray(0, 3000));
    await run();
    expect(fetched('model.safetensors')[0]?.range).toBe('bytes=3000-8999');
    expect(await content('model.safetensors')).toEqual(weights);
  });

  it('starts over when the pieces that were there are of something else', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors.part'), Buffer.alloc(3000));
    await run();
    expect(await content('model.safetensors')).toEqual(weights);
    await rm(join(folder, 'model.safetensors'));
    await writeFile(join(folder, 'model.safetensors.part'), Buffer.alloc(SIZE + 1));
    await run();
    expect(await content('model.safetensors')).toEqual(weights);
  });

  it('copes with a server that knows no ranges', async () => {
    hub.faults = { hasNoRanges: true };
    await run();
    expect(await content('model.safetensors')).toEqual(weights);
  });

  it('tries a busy server again and gives up on one that stays busy, pieces kept', async () => {
    hub.faults = { refuse: { status: 503, times: 1 } };
    await run();
    await rm(join(folder, 'model.safetensors'));
    hub.faults = { cutAfter: { bytes: 700, times: 1 } };
    const cut = run({ rangeBytes: 1e6, attemptsMax: 1 });
    hub.faults = { ...hub.faults, refuse: { status: 503, times: 0 } };
    await cut;
    await rm(join(folder, 'model.safetensors'));
    hub.faults = { refuse: { status: 500, times: 99 } };
    await expect(run()).rejects.toMatchObject({ code: 'hub-failed', facts: { status: 500 } });
  });

  it('gives up on a connection on which nothing comes', async () => {
    hub.faults = { hangs: true };
    await expect(run({ stallMs: 100, attemptsMax: 1 })).rejects.toMatchObject({
      code: 'hub-failed',
    });
  });

  it('follows the list over its pages', async () => {
    hub.faults = { pageSize: 2 };
    await run();
    expect(existsSync(join(folder, 'model.safetensors'))).toBe(true);
  });

  it('sends the token to the hub and to no other host', async () => {
    const other = await startHub(FILES);
    hub.faults = { redirectTo: other.endpoint };
    await run({ environment: { HF_ENDPOINT: `${hub.endpoint}/`, HF_TOKEN: 'secret' } });
    expect(hub.requests.every(({ authorization }) => authorization === 'Bearer secret')).toBe(true);
    expect(other.requests.length).toBeGreaterThan(0);
    expect(other.requests.some(({ authorization }) => authorization !== undefined)).toBe(false);
  });
});

describe('pull refuses', () => {
  it.each([
    ['../../evil.safetensors'],
    ['/etc/model.safetensors'],
    ['a/../../b.json'],
    ['a\\..\\b.json'],
    ['C:evil.json'],
    ['nul\u0000.json'],
    ['a//b.json'],
    ['./config.json'],
  ])('a list that names the file %j, and writes nothing', async (path) => {
    hub.faults = {
      list: (entries) => [...entries, { type: 'file', path, size: 1, oid: 'c'.repeat(40) }],
    };
    await expect(run()).rejects.toMatchObject({ code: 'hub-failed', facts: { isLasting: true } });
    expect(existsSync(folder)).toBe(false);
  });

  it.each([
    ['no list', () => ({ error: 'x' })],
    ['a negative size', (e: object[]) => e.map((x) => ({ ...x, size: -1 }))],
    ['a size beyond all bounds', (e: object[]) => e.map((x) => ({ ...x, size: 2 ** 50 }))],
    ['a broken hash', (e: object[]) => e.map((x) => ({ ...x, oid: '../x' }))],
    ['a broken LFS hash', (e: object[]) => e.map((x) => ({ ...x, lfs: { oid: 'zz', size: 1 } }))],
  ])('%s', async (_, list) => {
    hub.faults = { list };
    await expect(run()).rejects.toMatchObject({ code: 'hub-failed' });
  });

  it('a commit that is none', async () => {
    hub.faults = { commit: '../../x' };
    await expect(run()).rejects.toMatchObject({ code: 'hub-failed' });
  });

  it.each([
    ['other weights', 'model.safetensors'],
    ['another small file', 'config.json'],
  ])('%s than the hub lists, and keeps nothing of them', async (_, name) => {
    hub.faults = {
      corrupt: (path, honest) =>
        path === name ? Buffer.concat([honest.subarray(0, -2), Buffer.of(1, 1)]) : honest,
    };
    await expect(run()).rejects.toMatchObject({ code: 'download-damaged', facts: { path: name } });
    expect(existsSync(join(folder, name))).toBe(false);
    expect(existsSync(join(folder, `${name}.part`))).toBe(false);
  });

  it.each([
    ['another size', () => 'bytes 0-1999/4999'],
    ['another start', (honest: string) => honest.replace('bytes 0', 'bytes 7')],
    ['nonsense', () => 'bytes */x'],
  ])('a range that claims %s', async (_, contentRange) => {
    hub.faults = { contentRange };
    await expect(run()).rejects.toMatchObject({
      code: expect.stringMatching(/damaged|hub-failed/),
    });
  });

  it('more bytes than it asked for', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors.part'), weights.subarray(0, 1000));
    hub.faults = { excess: 10 };
    await expect(run()).rejects.toMatchObject({ code: 'download-damaged' });
  });

  it('a model that is not there, or not for us', async () => {
    await expect(run({ source: 'o/none' })).rejects.toMatchObject({ code: 'hub-not-found' });
    await expect(run({ source: 'gated/m' })).rejects.toMatchObject({ code: 'hub-refused' });
  });

  it('a repository without safetensors', async () => {
    hub.faults = {
      list: (entries) => entries.filter(({ path }) => !String(path).endsWith('.safetensors')),
    };
    await expect(run()).rejects.toMatchObject({
      code: 'model-unsupported',
      facts: { missing: '*.safetensors' },
    });
  });

  it('a host that is not there, and an endpoint that is no address', async () => {
    const dead = { HF_ENDPOINT: 'http://127.0.0.1:1' };
    await expect(run({ environment: dead })).rejects.toMatchObject({ code: 'hub-failed' });
    for (const HF_ENDPOINT of ['nonsense', 'file:///etc']) {
      await expect(run({ environment: { HF_ENDPOINT } })).rejects.toMatchObject({
        code: 'config-invalid',
      });
    }
  });
});

describe('the progress bar', () => {
  it('redraws its line on a terminal, and says over a pipe only what is done', () => {
    let time = 0;
    let drawn = '';
    const output = { isTTY: true, columns: 80, write: (text: string) => (drawn += text) };
    const bar = createProgressBar(output, { label: 'x', total: 2e6, now: () => time });
    bar.update(0);
    time = 1000;
    bar.update(1e6);
    expect(drawn).toContain('x [##########..........] 50 % of 2.0 MB, 1.0 MB/s, 1 s left');
    bar.end();
    expect(drawn.endsWith('x 2.0 MB\n')).toBe(true);
    const piped: string[] = [];
    const quiet = createProgressBar(
      { write: (text: string) => piped.push(text) },
      { label: 'y', total: 10, now: () => time },
    );
    quiet.update(5);
    quiet.end();
    expect(piped).toEqual(['y 10 B\n']);
    expect(bytesText(1.5e9)).toBe('1.5 GB');
  });
});
