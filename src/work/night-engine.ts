// An engine of the night's own, on the weights before the night: it dreams and answers again, so
// that the chat's engine is never waited for.
import type { Engine } from '../engine/engine.ts';
import { createEngine } from '../engine/in-process-engine.ts';
import type { Model } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';
import type { NightPlan } from '../record/message.ts';
import { openServingExecutor } from '../runtime/device.ts';

/** Opens an engine, runs, closes it, whatever happens. `version` is the id of its weights. */
export type WithEngine = <T>(run: (engine: Engine, version: string) => Promise<T>) => Promise<T>;

export function nightEngine(
  { config, deltas, cacheDir }: Pick<NightPlan, 'config' | 'deltas' | 'cacheDir'>,
  model: Model,
): WithEngine {
  return async (run) => {
    const { threads } = config.engine;
    const { id } = await loadVersion(model, deltas);
    const { executor } = await openServingExecutor({ device: 'cpu', threads });
    const engine = await createEngine({
      modelDir: model.dir,
      cacheDir,
      executor,
      version: { id, deltas },
      windowTokens: model.windowTokens,
      batchMax: Math.max(config.engine.batchMax, config.dream.batchSize),
    });
    try {
      return await run(engine, id);
    } finally {
      await engine.close();
    }
  };
}
