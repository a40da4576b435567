// `attune models`: what this machine has already, and which of it runs here.
import { homedir, totalmem } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isAttuneError } from '../../base/errors.ts';
import { alignedRows } from '../../base/text-table.ts';
import { inspectModel } from '../../model/local/inspect-model.ts';
import { type LocalModel, listLocalModels, modelFolders } from '../../model/local/local-model.ts';
import { isDemonstration } from '../../protocol/demonstration.ts';
import { type ConfigOptions, readConfig } from '../configuration.ts';
import { exampleFor } from '../hub/example-model.ts';
import { bytesText } from '../hub/progress-bar.ts';

/** What is known of a model only once its head was read. */
interface Facts {
  readonly parameters: number;
  readonly quantization: string;
  readonly storedBytes: number;
  /** Resident while it speaks. */
  readonly memoryBytes: number;
  readonly hasChatTemplate: boolean;
}

export interface ListedModel extends LocalModel {
  /** Null where it cannot be read. */
  readonly facts: Facts | null;
  /** Why it does not run here; null where it does. */
  readonly refusal: string | null;
}

/** Heads that are read, which takes up to half a second each. */
const EXAMINED_MAX = 200;

export function registerModels(program: Command): void {
  program
    .command('models')
    .description('list the models on this machine and which of them run here')
    .option('--config <file>', 'configuration file')
    .option('--json', 'print JSON')
    .action(async (options: ConfigOptions & { json?: boolean }) => {
      const { config } = await readConfig(options);
      const models = await listedModels(config.store.path, process.env, homedir());
      const text = options.json ? `${JSON.stringify(models, null, 2)}\n` : table(models);
      process.stdout.write(text);
    });
}

/** Models that run first, the largest of them on top. */
export async function listedModels(
  storePath: string,
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
): Promise<ListedModel[]> {
  const found = await listLocalModels(modelFolders(resolve(storePath), home, environment));
  const listed: ListedModel[] = [];
  // One after the other: a head may have megabytes.
  for (const model of found.slice(0, EXAMINED_MAX)) listed.push(await examined(model, totalmem()));
  const rank = ({ refusal, facts }: ListedModel): number =>
    refusal === null ? (facts?.parameters ?? 0) : -1;
  return listed.sort((a, b) => rank(b) - rank(a) || (a.name < b.name ? -1 : 1));
}

async function examined(model: LocalModel, memory: number): Promise<ListedModel> {
  try {
    const { config: _, ...facts } = await inspectModel(model.path);
    const takes = bytesText(facts.memoryBytes);
    const needed = `it takes ${takes} here; this machine has ${bytesText(memory)}`;
    return { ...model, facts, refusal: facts.memoryBytes > memory ? needed : null };
  } catch (error) {
    // Whatever is wrong with one model is no reason not to list the others.
    const { reason } = isAttuneError(error) ? error.facts : {};
    const message = error instanceof Error ? error.message : String(error);
    return { ...model, facts: null, refusal: typeof reason === 'string' ? reason : message };
  }
}

/** The largest one to talk to that leaves room for its conversations and other programs. */
export function bestOf(models: readonly ListedModel[], memory: number): ListedModel | undefined {
  return models.find(
    ({ facts, refusal }) =>
      refusal === null &&
      facts?.hasChatTemplate === true &&
      !isDemonstration(facts.parameters) &&
      facts.memoryBytes <= MEMORY_SHARE_MAX * memory,
  );
}

const MEMORY_SHARE_MAX = 0.75;

/** As a person types it: a path may have blanks. */
export function startCommand(model: string): string {
  return `npx attune start --model ${/^[\w@%+=:,./-]+$/.test(model) ? model : JSON.stringify(model)}`;
}

export function table(models: readonly ListedModel[], memory = totalmem()): string {
  const best = bestOf(models, memory);
  const advice =
    best === undefined
      ? `Fetch one worth talking to: npx attune pull ${exampleFor(memory)}\n`
      : `Start one: ${startCommand(best.name)}\n`;
  if (models.length === 0) {
    return `No models found (Hugging Face cache, Ollama, LM Studio, llama.cpp, our store).\n${advice}`;
  }
  const rows = models.map((model) => [model.name, model.source, ...cellsOf(model)]);
  const head = ['MODEL', 'FROM', 'WEIGHTS', 'STORED', 'TAKES HERE', ''];
  const lines = alignedRows([head, ...rows]).map((row) => row.join('  ').trimEnd());
  return `${lines.join('\n')}\n\n${advice}`;
}

function cellsOf({ facts, refusal }: ListedModel): string[] {
  if (facts === null) return ['', '', '', `does not run here: ${refusal}`];
  const stored = `${bytesText(facts.storedBytes)} ${facts.quantization}`;
  const runs = facts.hasChatTemplate ? 'runs here' : 'runs here, but cannot chat: no chat template';
  const verdict = refusal === null ? runs : `does not run here: ${refusal}`;
  return [countText(facts.parameters), stored, bytesText(facts.memoryBytes), verdict];
}

/** `135M`, `1.7B`. */
export function countText(parameters: number): string {
  if (parameters < 1e6) return `${Math.round(parameters / 1e3)}k`;
  if (parameters < 999.5e6) return `${Math.round(parameters / 1e6)}M`;
  return `${(parameters / 1e9).toFixed(1)}B`;
}
