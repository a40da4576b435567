// An engine in this process, for commands that run a model themselves.
import type { Engine } from '../../engine/engine.ts';
import type { ModelPlaces } from './model-options.ts';

/** @param deltas applied to the query projections, in this order */
export async function openEngine(
  { modelDir, cacheDir, config }: ModelPlaces,
  deltas: readonly string[] = [],
): Promise<Engine> {
  const [{ createEngine }, { openServingExecutor }] = await Promise.all([
    import('../../engine/in-process-engine.ts'),
    import('../../runtime/device.ts'),
  ]);
  const { device, threads, windowTokens, cacheBytesMax, prefillChunkTokens } = config.engine;
  const { executor } = await openServingExecutor({ device, threads });
  const version = deltas.length > 0 ? { version: { id: 'with-deltas', deltas } } : {};
  const sizes = { windowTokens, cacheBytesMax, prefillChunkTokens };
  return createEngine({ modelDir, cacheDir, executor, ...sizes, ...version });
}
