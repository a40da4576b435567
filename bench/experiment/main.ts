// `npm run experiment -- --work DIR`: the training experiment, all of it, shared by some processes.
// It is kept in the folder, one file a cell, and can be ended and taken up again at any time.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { withHugePages } from '../../src/base/huge-pages.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { prepareData, readData, SETS, type TokenCount } from './data.ts';
import { Laboratory } from './laboratory.ts';
import { writeReport } from './report.ts';
import { REGISTERED, TINY } from './size.ts';
import { base, gate, replies, run, type StageContext } from './stages.ts';
import { choose, sweep } from './sweep.ts';
import { WorkFolder } from './work-folder.ts';

const OPTIONS = {
  model: { type: 'string', default: 'models/companion' },
  cache: { type: 'string', default: 'store/cache' },
  shared: { type: 'string', default: '../shared/data' },
  work: { type: 'string', default: 'experiment' },
  workers: { type: 'string', default: '2' },
  /** Runs the recipe's generator of scenes; it needs no package. */
  python: { type: 'string', default: 'python3' },
  /** No cell is begun after this time of day, HH:MM. */
  until: { type: 'string', default: '23:59' },
  /** Only cells of these groups. */
  groups: { type: 'string', default: '' },
  /** Also the cells of the remedies. */
  remedies: { type: 'boolean', default: false },
  /** Every stage with a handful of examples; its numbers mean nothing. */
  tiny: { type: 'boolean', default: false },
} as const;

const { values: options, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
const work = new WorkFolder(options.work);
const say = (line: string): void =>
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);

const size = options.tiny ? TINY : REGISTERED;
const SCENES_SEED = '1';

/** Generated scenes and the sets, once; what is there stays. */
async function prepare(): Promise<void> {
  if (SETS.every((name) => existsSync(work.at('data', `${name}.jsonl`)))) return;
  const scenes = work.at('scenes.jsonl');
  const tokenizer = await loadTokenizer(options.model);
  const count: TokenCount = (s) => {
    const reply = (text: string) => tokenizer.renderReply(s.messages, text);
    const { prompt, replyIds } = reply(s.chosen);
    const other = s.rejected === undefined ? [] : reply(s.rejected).replyIds;
    return { prompt: prompt.ids.length, reply: Math.max(replyIds.length, other.length) };
  };
  await work.makeFolder();
  if (!existsSync(scenes)) {
    const { reflexPairs, guardPairs } = size.data;
    const generator = [
      'bench/experiment/scenes.py',
      `${reflexPairs}`,
      `${guardPairs}`,
      SCENES_SEED,
    ];
    await writeFile(scenes, await outputOf(options.python, generator));
  }
  const paths = { shared: options.shared, scenes, folder: work.at('data') };
  const data = await prepareData(paths, count, size.data);
  say(SETS.map((name) => `${name} ${data[name].length}`).join(', '));
}

function outputOf(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(text);
      else reject(new Error(`experiment: ${command} ${args.join(' ')} ended with ${code}`));
    });
  });
}

/** One stage in some processes of this program; all of them end before it settles. */
async function share(stage: string): Promise<void> {
  const own = process.argv.slice(2).filter((part) => part !== 'all');
  const self = fileURLToPath(import.meta.url);
  const workers = Array.from({ length: Number(options.workers) }, () =>
    spawn(process.execPath, [self, stage, ...own], {
      stdio: 'inherit',
      env: withHugePages(process.env),
    }),
  );
  const end = (): void => {
    for (const child of workers) child.kill();
  };
  process.on('SIGINT', end).on('SIGTERM', end);
  const codes = await Promise.all(
    workers.map((child) => new Promise((resolve) => child.once('close', resolve))),
  );
  process.off('SIGINT', end).off('SIGTERM', end);
  if (codes.some((code) => code !== 0)) {
    throw new Error(`experiment: ${stage} failed; the same command goes on from there`);
  }
}

async function all(): Promise<void> {
  await prepare();
  for (const stage of ['base', 'sweep']) await share(stage);
  say(`settings: ${JSON.stringify(await choose(work))}`);
  const failures: unknown[] = [];
  for (const stage of ['run', 'gate', 'replies']) {
    await share(stage).catch((error: unknown) => failures.push(error));
  }
  process.stdout.write(await writeReport(work, size));
  if (failures.length > 0) throw failures[0];
}

const STAGES: Readonly<Record<string, (context: StageContext) => Promise<void>>> = {
  base,
  sweep,
  run,
  gate,
  replies,
};

/** A folder holds one model at one size; another's numbers must not be mixed in. */
async function refuseMixture(baseHash: string): Promise<void> {
  const own = { baseHash, isTiny: options.tiny };
  const known = await work.read<typeof own>('experiment.json');
  if (known === undefined) await writeJsonAtomic(work.at('experiment.json'), own);
  else if (known.baseHash !== baseHash || known.isTiny !== options.tiny) {
    throw new Error(
      `experiment: ${options.work} holds ${JSON.stringify(known)}, this is ${JSON.stringify(own)}; ` +
        'name another --work',
    );
  }
}

async function one(stage: string): Promise<void> {
  const begin = STAGES[stage];
  if (begin === undefined) {
    const names = ['all', 'prepare', 'choose', 'report', ...Object.keys(STAGES)];
    throw new Error(`experiment: "${stage}" is no stage; there are ${names.join(', ')}`);
  }
  const data = await readData(work.at('data'));
  const { model, cache } = options;
  const laboratory = await Laboratory.open({ model, cache, data, size });
  try {
    await refuseMixture(laboratory.model.baseHash);
    await begin({ laboratory, work, size, options, say });
  } finally {
    await laboratory.close();
  }
}

const stage = positionals[0] ?? 'all';
if (stage === 'all') await all();
else if (stage === 'prepare') await prepare();
else if (stage === 'report') process.stdout.write(await writeReport(work, size));
else if (stage === 'choose') say(JSON.stringify(await choose(work)));
else await one(stage);
