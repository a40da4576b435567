// An engine of the night's own, on the weights before the night: it dreams and answers again, so
// that the chat's engine is never waited for.
import type { Engine } from '../engine/engine.ts';
import { createEngine } from '../engine/in-process-engine.ts';
import { loadVersion } from '../model/versions.ts';
import { openServingExecutor } from '../runtime/device.ts';
import type { WorkParts } from './work.ts';

/** Opens it, runs, closes it, whatever happens. `version` is the id of the weights before. */
export async function withEngine<T>(
  { plan, model }: WorkParts,
  run: (engine: Engine, version: string) => Promise<T>,
): Promise<T> {
  const { threads } = plan.config.engine;
  const batchMax = Math.max(plan.config.engine.batchMax, plan.config.dream.batchSize);
  const { id } = await loadVersion(model, plan.deltas);
  const { executor } = await openServingExecutor({ device: 'cpu', threads });
  const engine = await createEngine({
    modelDir: model.dir,
    cacheDir: plan.cacheDir,
    executor,
    version: { id, deltas: plan.deltas },
    windowTokens: model.windowTokens,
    batchMax,
  });
  try {
    return await run(engine, id);
  } finally {
    await engine.close();
  }
}
