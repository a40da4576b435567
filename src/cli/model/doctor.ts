// `attune doctor`: which devices of this machine can run and train the model, measured.
import { fork } from 'node:child_process';
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { withHugePages } from '../../base/huge-pages.ts';
import { type GraphicsCard, graphicsCards } from '../../runtime/graphics-card.ts';
import { bytesText } from '../hub/progress-bar.ts';
import type { Examination, ExaminationRequest, Examined } from './examination.ts';
import { addModelOptions, findModel, type ModelOptions } from './model-options.ts';

interface DoctorOptions extends ModelOptions {
  readonly json?: boolean;
}

export interface Diagnosis {
  readonly schema: 1;
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly modelDir: string;
  /** Graphics cards that the system shows. */
  readonly cards: readonly GraphicsCard[];
  readonly found: readonly Examination[];
  /** What chat and nights use as configured, and why; a line each. */
  readonly choice: string;
  /** The fastest training step of those that pass the self-test. */
  readonly trainsFastest: string | null;
  /** The fastest decode of those that pass the self-test. */
  readonly servesFastest: string | null;
}

const EXAMINED: readonly Examined[] = ['onnx cpu', 'onnx webgpu', 'onnx cuda', 'tensorflow'];
/** An examination that takes longer is reported as failed. */
const EXAMINATION_MS_MAX = 180_000;
const CHILD = fileURLToPath(new URL('./examination-process.js', import.meta.url));

export function registerDoctor(program: Command): void {
  addModelOptions(program.command('doctor'))
    .description('test the devices of this machine: self-test, decode speed, one training step')
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const diagnosis = await diagnose(options);
      const text =
        options.json === true ? `${JSON.stringify(diagnosis, null, 2)}\n` : print(diagnosis);
      process.stdout.write(text);
    });
}

/** @throws config-invalid, model-not-found, model-unsupported, model-damaged */
async function diagnose(options: DoctorOptions): Promise<Diagnosis> {
  const { modelDir, cacheDir, config } = await findModel(options);
  const { readModel } = await import('../../model/model.ts');
  await readModel(modelDir, { cacheDir }); // throws here where no device could run the model
  const { engine, train } = config;
  const found: Examination[] = [];
  const request = { modelDir, cacheDir, threads: engine.threads };
  const devices = { chat: engine.device, nights: train.device };
  for (const what of [...EXAMINED, 'choice'] as const) {
    found.push(await examineApart({ what, ...request, ...devices }));
  }
  return diagnosisOf(modelDir, found, await graphicsCards());
}

/** Runs one examination in its own process, which may crash. */
export function examineApart(request: ExaminationRequest, entry = CHILD): Promise<Examination> {
  return new Promise((resolve) => {
    const child = fork(entry, [], {
      env: withHugePages(process.env),
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), EXAMINATION_MS_MAX);
    const failed = (reason: string): void =>
      resolve({ what: request.what, isPresent: false, reason });
    child.once('message', (found) => resolve(found as Examination));
    child.once('error', (error) => failed(error.message));
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      failed(`its process crashed during the test: ${signal ?? `exit code ${code}`}`);
    });
    child.send(request, () => undefined);
  });
}

export function diagnosisOf(
  modelDir: string,
  all: readonly Examination[],
  cards: readonly GraphicsCard[] = [],
): Diagnosis {
  const found = all.filter(({ what }) => what !== 'choice');
  const chosen = all.find(({ what }) => what === 'choice');
  const sound = found.filter((each) => each.passesSelfTest === true);
  const best = (score: (each: Examination) => number | undefined): string | null =>
    sound
      .filter((each) => score(each) !== undefined)
      .sort((a, b) => (score(a) as number) - (score(b) as number))[0]?.what ?? null;
  return {
    schema: 1,
    node: process.version,
    platform: `${platform()} ${arch()}`,
    cpu: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} threads`,
    memoryBytes: totalmem(),
    modelDir,
    cards,
    found,
    choice: chosen?.description ?? chosen?.reason ?? '',
    trainsFastest: best((each) => each.trainStepMs),
    servesFastest: best((each) => {
      const speed = each.decodeTokensPerSecond;
      return speed === undefined ? undefined : -speed;
    }),
  };
}

export function print(diagnosis: Diagnosis): string {
  const { node, platform: system, cpu, memoryBytes, modelDir, found } = diagnosis;
  const machine = `Node ${node}, ${system}, ${cpu}, ${bytesText(memoryBytes)} memory`;
  const cards = diagnosis.cards.map((card) => `Graphics card: ${cardText(card)}\n`).join('');
  const head = `${machine}\n${cards}Model ${modelDir}\n`;
  const lines = found.map((each) => `\n${each.what}: ${sentence(each)}\n`);
  const choice = (verb: string, what: string | null): string =>
    `${verb} fastest: ${what ?? 'none'}\n`;
  const choices =
    choice('Serves', diagnosis.servesFastest) + choice('Trains', diagnosis.trainsFastest);
  return `${head}${lines.join('')}\n${choices}${diagnosis.choice}\n`;
}

function cardText({ name, driver, memoryBytes, freeBytes }: GraphicsCard): string {
  const memory = memoryBytes === undefined ? '' : `, ${bytesText(memoryBytes)}`;
  const free = freeBytes === undefined ? '' : `, ${bytesText(freeBytes)} free`;
  return `${name}, driver ${driver ?? 'unknown'}${memory}${free}`;
}

function sentence(each: Examination): string {
  // Never run on such a device so far.
  const mark = each.what === 'onnx cuda' ? 'unverified; ' : '';
  if (!each.isPresent) return `${mark}not available: ${each.reason}`;
  const parts = [each.description ?? ''];
  if (each.selfTestError !== undefined) {
    const verdict = each.passesSelfTest === true ? 'agrees with the CPU' : 'DISAGREES with the CPU';
    parts.push(`${verdict} (largest error ${each.selfTestError.toExponential(1)})`);
  }
  if (each.prefillTokensPerSecond !== undefined) {
    parts.push(`reads ${each.prefillTokensPerSecond.toFixed(0)} tokens/s`);
  }
  if (each.decodeTokensPerSecond !== undefined) {
    parts.push(`decodes ${each.decodeTokensPerSecond.toFixed(1)} tokens/s`);
  }
  if (each.servingBytes !== undefined) parts.push(`serves in ${bytesText(each.servingBytes)}`);
  if (each.pathDifference !== undefined) {
    const { mean, worst } = each.pathDifference;
    const apart = `${mean.toFixed(3)} nats a token (at most ${worst.toFixed(2)})`;
    parts.push(`as served, quantised, it is ${apart} away from f32`);
  }
  if (each.trainStepMs !== undefined)
    parts.push(`trains a step in ${each.trainStepMs.toFixed(1)} ms`);
  if (each.reason !== undefined) parts.push(`failed: ${each.reason}`);
  return mark + parts.filter(Boolean).join('; ');
}
