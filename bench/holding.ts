// What holds the rest while listening is learnt: a training a setting, on half of the scenes, read
// on the other half and on pairs that nobody trains on. Neither suites nor sgd-dev are read.

//   npm run bench:holding -- --work DIR --experiment DIR [--only 'NAME;NAME'] [--fold 0]
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { readJsonBounded, writeFileAtomic, writeJsonAtomic } from '../src/base/atomic-file.ts';
import { systemClock } from '../src/base/clock.ts';
import { createRandom } from '../src/base/random.ts';
import { trainSection } from '../src/config/section/learning.ts';
import { scenarioOfDraft } from '../src/dream/admit.ts';
import { echoes } from '../src/dream/echo.ts';
import { rehearse } from '../src/dream/rehearse.ts';
import { createWriter } from '../src/dream/writer.ts';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { retention } from '../src/measure/retention.ts';
import { readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { Reader } from '../src/reading/reader.ts';
import { render } from '../src/reading/render.ts';
import { scoreExamples } from '../src/reading/scenario-margin.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { readScenarios } from '../src/scenario/file.ts';
import { parseScenario, type Scenario } from '../src/scenario/scenario.ts';
import { isHeldBack } from '../src/scenario/sgd.ts';
import { readSgdDialogues } from '../src/scenario/sgd-file.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import type { TrainSettings } from '../src/train/train-settings.ts';
import { trainDelta } from '../src/train/trainer.ts';
import { makePool, type Pool } from './dream-pool.ts';
import { everydayOf } from './experiment/data.ts';
import { pairChanges } from './pair-change.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    shared: { type: 'string', default: '../shared/data' },
    /** Dreams and talks of the model, written once; a line a training. */
    work: { type: 'string', default: 'store/holding' },
    /** The data folder of `npm run experiment`: its selection split is read. */
    experiment: { type: 'string', default: 'store/experiment/data' },
    only: { type: 'string' },
    fold: { type: 'string', default: '0' },
    dreams: { type: 'string', default: '416' },
    night: { type: 'string', default: '160' },
    steps: { type: 'string', default: '64' },
    /** Pairs of crossed moments of talk that train, where a setting has them. */
    echoes: { type: 'string', default: '60' },
    threads: { type: 'string', default: '1' },
  },
});
const fold = Number(options.fold);
const cacheDir = 'store/cache';
const say = (line: string): void => console.log(`${new Date().toTimeString().slice(0, 8)} ${line}`);
await mkdir(options.work, { recursive: true });

async function poolOf(): Promise<Pool> {
  const path = join(options.work, 'pool.json');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return JSON.parse(known) as Pool;
  const made = await makePool({
    modelDir: options.model,
    cacheDir,
    shared: options.shared,
    flags: 40,
    dreams: Number(options.dreams),
    threads: 2,
    work: options.work,
    dreamMs: 3_600_000,
    say,
  });
  await writeFileAtomic(path, JSON.stringify(made));
  return made;
}

const talksSchema = z.array(z.unknown().transform((one) => parseScenario(one)));

async function talksOf(): Promise<Scenario[]> {
  const path = join(options.work, 'talks.json');
  const known = await readJsonBounded(path, talksSchema, { bytesMax: 2 ** 26 });
  if (known !== undefined) return known;
  const { model: modelDir } = options;
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
  const engine = await createEngine({ modelDir, cacheDir, executor, batchMax: 16 });
  const writer = createWriter({
    engine,
    tokenizer: await loadTokenizer(modelDir),
    clock: systemClock,
    budget: { tokensMax: 1e6, minutesMax: 30 },
    temperature: 1,
    topP: 1,
    contextTokensMax: 1024,
  });
  const talks = await rehearse({
    writer,
    random: createRandom('talks'),
    talks: 240,
    batchSize: 16,
  });
  await engine.close();
  await writeJsonAtomic(path, talks);
  return talks;
}

/** Scene by scene, so that no sentence of a scene is on both sides. */
const scenes = new Map<string, string>();
async function readScenes(): Promise<void> {
  const draft = z.object({ id: z.string(), prompt: z.object({ name: z.string() }) });
  for (let chunk = 0; ; chunk += 1) {
    const path = join(options.work, `drafts-${chunk}.json`);
    const drafts = await readJsonBounded(path, z.array(draft), { bytesMax: 2 ** 26 });
    if (drafts === undefined) return;
    for (const { id, prompt } of drafts) scenes.set(id, prompt.name);
  }
}
const ALONE = /(?:invite|undercurrent|compressed|longing|hostile|ordinary)$/;
function isRead(scenario: Scenario): boolean {
  const scene = scenes.get(scenario.id) ?? '';
  // A kind with one scene is parted pair by pair.
  const key = ALONE.test(scene) ? (scenario.pair?.id ?? scenario.id) : scene;
  return createRandom(`holding:${key}`).int(2) === fold;
}

interface Setting {
  readonly train?: Partial<TrainSettings>;
  readonly replays?: 'everyday' | 'talks';
  readonly hasEchoes?: boolean;
}
const SETTINGS: Readonly<Record<string, Setting>> = {
  'KL 2, everyday, DPO': { train: { retentionWeight: 2, preference: 'dpo' }, replays: 'everyday' },
  'KL 60, everyday, DPO': {
    train: { retentionWeight: 60, preference: 'dpo' },
    replays: 'everyday',
  },
  'KL 60, talks, DPO': { train: { preference: 'dpo' } },
  'KL 20, talks, IPO': { train: { retentionWeight: 20 } },
  'KL 60, talks, IPO': {},
  'KL 120, talks, IPO': { train: { retentionWeight: 120 } },
  'KL 60, talks, IPO, echoes': { hasEchoes: true },
};

const pool = await poolOf();
const talks = await talksOf();
await readScenes();
const executor = await createOnnxExecutor({ device: 'cpu', threads: Number(options.threads) });
const model = await readModel(options.model, { cacheDir });
const renderer = await loadTokenizer(model.dir);
const limits = { windowTokens: model.windowTokens, replyTokensMax: 96 };
const reader = new Reader({ model, executor });
const base = (await loadVersion(model, [])).weights;

const selection = await readScenarios(join(options.experiment, 'selection.jsonl'));
const read = new Set(selection.map(({ source }) => source.cluster));
const dialogues = (
  await readSgdDialogues(join(options.shared, 'pretrain/sgd/train.jsonl.gz'))
).filter(({ id }) => isHeldBack(id) && !read.has(id));
const turns = everydayOf(dialogues.slice(0, 700), 'everyday');
const admitted = pool.admitted.map(({ scenario }) => scenario);
const flags = createRandom('flags')
  .shuffle(pool.flags.filter(({ source }) => !read.has(source.cluster)))
  .slice(0, 14);
const night = createRandom('night')
  .shuffle(admitted.filter((scenario) => !isRead(scenario)))
  .slice(0, Number(options.night));
const taught = turns.slice(0, 600);
const crossed = echoes(taught, Number(options.echoes), createRandom('echoes')).map(scenarioOfDraft);
const seen = new Set(taught.map(({ source }) => source.cluster));
const others = turns.filter(({ source }) => !seen.has(source.cluster));
const unheard = echoes(others, 60, createRandom('unheard')).map((draft) => {
  const scenario = scenarioOfDraft(draft);
  return {
    ...scenario,
    id: `echo:${draft.id}`,
    source: { ...scenario.source, origin: 'log' as const },
  };
});

const groupOf = ({ id, kind, source }: Scenario): string =>
  source.origin === 'dream' ? `scenes: ${kind}` : `${id.split(':', 1)[0]}: ${kind}`;
const unseen = admitted.filter((scenario) => isRead(scenario) && scenario.rejected !== undefined);
const examples = render([...selection, ...unheard, ...unseen], { renderer, limits }, []);
const everyday = render(turns.slice(600), { renderer, limits }, []);
const before = await scoreExamples(reader, examples, base);

const wanted = options.only?.split(';') ?? Object.keys(SETTINGS);
for (const name of wanted) {
  const { train = {}, replays = 'talks', hasEchoes = false } = SETTINGS[name] ?? {};
  const trained = await trainDelta({
    model,
    executor,
    renderer,
    scenarios: [...flags, ...night, ...(hasEchoes ? crossed : [])],
    replays: replays === 'talks' ? talks : turns.slice(0, 100),
    settings: {
      ...trainSection.parse({}),
      epochsMax: 50,
      stepsMax: Number(options.steps),
      minutesMax: 600,
      replyTokensMax: 96,
      ...train,
    },
    seed: 'holding',
  });
  const after = await scoreExamples(reader, examples, trained.weights);
  const groups = pairChanges(before, after, groupOf);
  const { perplexity } = await retention(reader, everyday, {
    before: base,
    after: trained.weights,
  });
  const record = {
    name,
    fold,
    steps: trained.steps,
    moved: trained.movedShare,
    groups,
    perplexity,
  };
  await appendFile(join(options.work, 'results.jsonl'), `${JSON.stringify(record)}\n`);
  say(`${name}: perplexity × ${perplexity.ratio.toFixed(3)}`);
  console.table(groups);
}
await reader.close();
await executor.close();
