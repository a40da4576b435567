// The night's own process: takes a plan over IPC, works through it, reports, ends.
import { systemClock } from '../base/clock.ts';
import { AttuneError, isAttuneError } from '../base/errors.ts';
import { readModel } from '../model/model.ts';
import {
  DEVICE_LOST,
  type FromNight,
  type NightPlan,
  type ToNight,
  toNightSchema,
} from '../record/message.ts';
import { openTrainingExecutor } from '../runtime/device.ts';
import { loadTokenizer } from '../tokenizer/tokenizer.ts';
import { contextBytesOnCard } from './card-memory.ts';
import { ChatPriority } from './chat-priority.ts';
import { work } from './work.ts';

const abort = new AbortController();
const priority = new ChatPriority(abort.signal);

function tell(message: FromNight): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send(message, () => resolve());
  });
}

async function run({ plan, isOnCpu }: Extract<ToNight, { type: 'start' }>): Promise<void> {
  const { engine, train, chat } = plan.config;
  // What a night writes and measures is said at once, without a thought before it.
  const variables = { ...chat.templateVariables, enable_thinking: false };
  // A night that goes on after midnight renders what it rendered before.
  const defaults = { at: Date.parse(plan.startedAt), variables };
  const [model, tokenizer, opened] = await Promise.all([
    readModel(plan.modelDir, {
      ...{ cacheDir: plan.cacheDir, windowTokens: engine.windowTokens },
      // Hours of training are worth the seconds that it takes to read all of it.
      readsCache: true,
    }),
    loadTokenizer(plan.modelDir, defaults),
    openTrainingExecutor({ device: isOnCpu ? 'cpu' : train.device, threads: engine.threads }),
  ]);
  const { executor } = opened;
  try {
    assertSame(plan, model.baseHash, tokenizer.encoding);
    const contextCacheBytesMax =
      executor.device === 'cpu'
        ? train.contextCacheBytesMax
        : await contextBytesOnCard(plan.config, model);
    const manifest = await work({
      plan: { ...plan, config: { ...plan.config, train: { ...train, contextCacheBytesMax } } },
      model,
      tokenizer,
      executor,
      clock: systemClock,
      priority,
      report: (progress) => void tell(progress),
    });
    await tell({ type: 'committed', manifest });
  } catch (error) {
    if (executor.device === 'cpu' || !isAttuneError(error, 'runtime-failed')) throw error;
    await tell({
      type: 'failed',
      code: DEVICE_LOST,
      message: `${executor.device}: ${error.message}`,
    });
  } finally {
    await executor.close();
  }
}

/**
 * Another model in the folder would learn from this one's conversations, and its delta would fit
 * neither; under another tokenizer or template the night would not train what was served.
 */
function assertSame(plan: NightPlan, base: string, encoding: string): void {
  const { night, modelDir } = plan;
  const [what, found, expected] =
    base === plan.base
      ? ['another tokenizer or chat template', encoding, plan.encoding ?? encoding]
      : ['another model', base, plan.base];
  if (found === expected) return;
  const message =
    `${modelDir} holds ${what} than the one that speaks (${found.slice(0, 12)}, not ` +
    `${expected.slice(0, 12)}); put it back, or start the daemon again.`;
  throw new AttuneError('model-changed', message, { night, found, expected });
}

process.on('message', (raw) => {
  const message = toNightSchema.parse(raw);
  if (message.type === 'pause') priority.pause();
  else if (message.type === 'resume') priority.resume();
  else if (message.type === 'abort') abort.abort(new Error('the night was stopped'));
  else {
    run(message)
      .catch((error: unknown) => {
        const code = isAttuneError(error) ? error.code : 'night-failed';
        const text = error instanceof Error ? error.message : String(error);
        return tell({ type: 'failed', code, message: text });
      })
      .finally(() => process.disconnect?.());
  }
});
// The daemon is gone: there is nobody to report to; the next daemon resumes the night.
process.on('disconnect', () => process.exit());
