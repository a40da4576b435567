// `attune models`: what this machine has already, and which of it runs here.
import { homedir, totalmem } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isAttuneError } from '../../base/errors.ts';
import { loadConfig } from '../../config/load.ts';
import { inspectModel } from '../../model/local/inspect-model.ts';
import { type LocalModel, listLocalModels, modelFolders } from '../../model/local/local-model.ts';
import { isDemonstration } from '../../protocol/demonstration.ts';
import { bytesText } from '../hub/progress-bar.ts';

export interface ListedModel extends LocalModel {
  readonly parameters: number | null;
  readonly quantization: string | null;
  readonly storedBytes: number | null;
  /** Resident while it speaks. */
  readonly memoryBytes: number | null;
  /** Why it does not run here; null where it does. */
  readonly refusal: string | null;
}

export function registerModels(program: Command): void {
  program
    .command('models')
    .description('list the models on this machine and which of them run here')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const models = await listedModels(process.env, homedir());
      const text = options.json === true ? `${JSON.stringify(models, null, 2)}\n` : table(models);
      process.stdout.write(text);
    });
}

/** Models that run first, the largest of them on top. */
export async function listedModels(
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
): Promise<ListedModel[]> {
  const { config } = await loadConfig({ environment });
  const found = await listLocalModels(modelFolders(resolve(config.store.path), home, environment));
  const listed = await Promise.all(found.map((model) => examined(model, totalmem())));
  const rank = ({ refusal, parameters }: ListedModel): number =>
    refusal === null ? (parameters ?? 0) : -1;
  return listed.sort((a, b) => rank(b) - rank(a) || (a.name < b.name ? -1 : 1));
}

async function examined(model: LocalModel, memory: number): Promise<ListedModel> {
  try {
    const { parameters, quantization, storedBytes, memoryBytes } = await inspectModel(model.path);
    const facts = { parameters, quantization, storedBytes, memoryBytes };
    const needed = `it takes ${bytesText(memoryBytes)} here; this machine has ${bytesText(memory)}`;
    return { ...model, ...facts, refusal: memoryBytes > memory ? needed : null };
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    const unknown = { parameters: null, quantization: null, storedBytes: null, memoryBytes: null };
    const { reason } = error.facts;
    return { ...model, ...unknown, refusal: typeof reason === 'string' ? reason : error.message };
  }
}

function table(models: readonly ListedModel[]): string {
  if (models.length === 0) {
    return (
      'No models found (Hugging Face cache, Ollama, LM Studio, llama.cpp, our store).\n' +
      'Fetch one, for example: npx attune pull HuggingFaceTB/SmolLM2-1.7B-Instruct\n'
    );
  }
  const rows = models.map((model) => [model.name, model.source, ...factsOf(model)]);
  const head = ['MODEL', 'FROM', 'WEIGHTS', 'STORED', 'TAKES HERE', ''];
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ');
  const best = models.find(({ refusal, parameters }) => refusal === null && !isSmall(parameters));
  const start = best === undefined ? '' : `\nStart one: npx attune start --model ${best.name}\n`;
  return `${[head, ...rows].map((row) => line(row).trimEnd()).join('\n')}\n${start}`;
}

const isSmall = (parameters: number | null): boolean =>
  parameters === null || isDemonstration(parameters);

function factsOf({ parameters, quantization, storedBytes, memoryBytes, refusal }: ListedModel) {
  if (parameters === null || storedBytes === null || memoryBytes === null) {
    return ['', '', '', `does not run here: ${refusal}`];
  }
  const stored = `${bytesText(storedBytes)} ${quantization}`;
  const verdict = refusal === null ? 'runs here' : `does not run here: ${refusal}`;
  return [countText(parameters), stored, bytesText(memoryBytes), verdict];
}

/** `135M`, `1.7B`. */
export function countText(parameters: number): string {
  if (parameters < 1e6) return `${Math.round(parameters / 1e3)}k`;
  if (parameters < 999.5e6) return `${Math.round(parameters / 1e6)}M`;
  return `${(parameters / 1e9).toFixed(1)}B`;
}
