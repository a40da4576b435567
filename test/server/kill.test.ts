import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import { killLoop } from '../slow/kill-loop.ts';
import { writeSmallModel } from '../system/small-model.ts';

// A daemon runs in a process of its own, and is killed.
vi.setConfig({ testTimeout: 60_000 });

const isBuilt = existsSync(join(installationFolder, 'dist', 'cli', 'main.js'));
const title = 'killed with SIGKILL under load, the real daemon has all that it acknowledged, once';

it.skipIf(!isBuilt)(
  isBuilt ? title : `SKIPPED, run npm run build first: ${title}`,
  async () => {
    const report = await killLoop(await writeSmallModel(), { rounds: 3, nights: 0 });
    expect(report.said).toBeGreaterThan(0);
  },
  180_000,
);
