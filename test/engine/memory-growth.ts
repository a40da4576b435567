// How much memory an engine keeps of prompts that are over, garbage collected.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generate, openEngine, request, someIds, tinyModel } from './tiny-engine.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What buffers hold and what the process has. */
async function memory(): Promise<{ buffers: number; resident: number }> {
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20)); // finalizers run between
  }
  const { rss, arrayBuffers, external } = process.memoryUsage();
  return { buffers: arrayBuffers + external, resident: rss };
}

/** Growth in bytes over `measured` prompts, four at a time, each of a talk of its own. */
export async function memoryGrowth({
  warm,
  measured,
}: {
  warm: number;
  measured: number;
}): Promise<{ buffers: number; resident: number }> {
  const engine = await openEngine(await tinyModel(), { cacheBytesMax: 2 ** 20, batchMax: 4 });
  const talk = async (first: number, count: number): Promise<void> => {
    for (let i = first; i < first + count; i += 4) {
      const turns = [0, 1, 2, 3].map((k) =>
        generate(engine, request(someIds(60, i + k), { cacheKey: `talk ${i + k}` })),
      );
      await Promise.all(turns);
    }
  };
  await talk(0, warm); // until every buffer has its size
  const before = await memory();
  await talk(warm, measured);
  const after = await memory();
  return { buffers: after.buffers - before.buffers, resident: after.resident - before.resident };
}
