// A few test conversations of each gated kind, for nights on a small random model.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { printScenarios } from '../../src/scenario/file.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';

const NAMES = ['Ada', 'Ben', 'Cleo', 'Dov', 'Eli', 'Fay'] as const;

export async function writeSuite(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const scenarios = (['listen', 'push-back', 'invite', 'ordinary'] as const).flatMap((kind) =>
    NAMES.map((name, i) => {
      // Two neighbours are the sides of a pair.
      const other = NAMES[i ^ 1] ?? 'Zoe';
      const pair = { id: `pair-${i >> 1}`, side: i % 2 === 0 ? 'a' : 'b' };
      return parseScenario({
        id: `${kind}-${i}`,
        kind,
        messages: [
          { role: 'user', content: 'I need somebody to call.' },
          { role: 'assistant', content: `How about ${other}?` },
          { role: 'user', content: `No, call ${name}.` },
        ],
        spans: [
          { feature: 'own-idea', message: 1, quote: other },
          { feature: 'direction', message: 2, quote: `call ${name}` },
        ],
        chosen: `Calling ${name}.`,
        rejected: `Calling ${other}.`,
        source: { origin: 'suite', cluster: `${kind}-${name}`, domain: 'calls' },
        ...(kind === 'listen' ? { pair } : {}),
      });
    }),
  );
  await writeFile(join(folder, 'small.jsonl'), printScenarios(scenarios));
}
