// `attune generate`: one reply to one prompt, streamed to standard output and nothing else there.
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import type { GenerateRequest } from '../../engine/engine.ts';
import { eachSampling, leastOf, type Sampling, SEED_MAX } from '../../protocol/sampling.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { printable } from '../chat/terminal.ts';
import {
  addModelOptions,
  findModel,
  type ModelOptions,
  numberBetween,
  wholeBetween,
} from './model-options.ts';

interface GenerateOptions extends ModelOptions, Sampling {
  readonly prompt: string;
  readonly raw?: boolean;
  readonly maxTokens: number;
  readonly seed: number;
  readonly delta?: readonly string[];
}

export function registerGenerate(program: Command): void {
  const command = addModelOptions(program.command('generate'))
    .description('generate one reply without the daemon; prints only the reply')
    .requiredOption('--prompt <text>', 'prompt; - reads standard input')
    .option('--raw', "continue the prompt as plain text, without the model's chat template")
    .option('--max-tokens <number>', 'most tokens of the reply', wholeBetween(0, 2 ** 24), 128)
    .option('--seed <number>', 'the same seed gives the same reply', wholeBetween(0, SEED_MAX), 0)
    .option('--delta <file...>', 'deltas to apply to the query projections, in this order')
    .action(async (options: GenerateOptions) => generate(options));
  eachSampling((rule) => {
    const between = rule.step === 1 ? wholeBetween : numberBetween;
    const parse = between(leastOf(rule), rule.max ?? Number.MAX_SAFE_INTEGER);
    const name = rule.externalName.replaceAll('_', '-');
    command.option(`--${name} <number>`, rule.description, parse, rule.off);
  });
}

async function generate(options: GenerateOptions): Promise<void> {
  const paths = await findModel(options);
  const [{ loadTokenizer }, { openEngine }] = await Promise.all([
    import('../../tokenizer/tokenizer.ts'),
    import('./open-engine.ts'),
  ]);
  const engine = await openEngine(paths, options.delta ?? []);
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop);
  // The reader of a pipe may close it (`| head`): the reply ends without an error.
  process.stdout.on('error', stop);
  try {
    const tokenizer = await loadTokenizer(paths.modelDir);
    const request = requestOf(options, await promptIds(options, tokenizer), tokenizer);
    if (request.ids.length === 0) throw new AttuneError('config-invalid', 'the prompt is empty');
    const decoder = tokenizer.createStreamDecoder();
    const { stdout } = process;
    const shown = (text: string): string => (stdout.isTTY ? printable(text) : text);
    const write = (text: string): unknown => text !== '' && stdout.write(shown(text));
    await engine.generate(request, ({ id }) => write(decoder.push(id)), controller.signal);
    write(decoder.end());
    if (stdout.isTTY) stdout.write('\n');
  } finally {
    process.off('SIGINT', stop);
    await engine.close();
  }
}

/** A user turn where the model has a chat template, else the text as it is. */
async function promptIds(options: GenerateOptions, tokenizer: Tokenizer): Promise<number[]> {
  const text = options.prompt === '-' ? await readInput() : options.prompt;
  if (options.raw === true || !tokenizer.hasChatTemplate) return tokenizer.encodePrompt(text);
  const message = { role: 'user' as const, content: text };
  return [...tokenizer.renderChat([message], { addGenerationPrompt: true }).ids];
}

async function readInput(): Promise<string> {
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
  return text;
}

function requestOf(
  options: GenerateOptions,
  ids: readonly number[],
  tokenizer: Tokenizer,
): GenerateRequest {
  return {
    ids,
    replyTokensMax: options.maxTokens,
    sampling: { ...eachSampling((_, name) => options[name]), seed: options.seed },
    stopIds: tokenizer.stopIds,
  };
}
