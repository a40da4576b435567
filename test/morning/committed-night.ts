// One committed night in a real ledger, and the daemon's routes over it: for tests of what a person

// does with a night in the morning.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import type { Folder } from '../../src/base/file-ops.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { TrialParts } from '../../src/chat/trial.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { SliderParts } from '../../src/morning/slider.ts';
import { NightService } from '../../src/night/service.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { nightRoutes } from '../../src/server/night-routes.ts';
import { openStore } from '../../src/store/store.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

export const NIGHT = 'n0001-2026-03-03';
const BASE = 'b'.repeat(64);

export interface Morning {
  readonly ledger: Ledger;
  readonly nights: NightService;
  /** As after a restart of the daemon. */
  restarted(): NightService;
  /** Commits the night; `prepare` writes what else its folder holds. */
  commit(night?: {
    readonly passed?: boolean;
    readonly prepare?: (building: Folder) => Promise<void>;
  }): Promise<void>;
  /** The daemon whose only routes are those of nights. */
  openDaemon(): Promise<TestDaemon>;
  end(): Promise<void>;
}

export async function openMorning(): Promise<Morning> {
  const folder = await mkdtemp(join(tmpdir(), 'attune-morning-'));
  const { config } = await loadConfig({});
  const shared = { config, clock: systemClock, logger: silentLogger };
  const store = await openStore(folder, {
    ...{ ...shared, base: BASE },
    ...{ memory: config.memory, limits: config.server.limits },
  });
  const { ledger } = store;
  const start = (): NightService =>
    new NightService({
      ...shared,
      store,
      engine: new FakeEngine(),
      encoding: fakeTokenizer.encoding,
      sampling: resolveSampling([]),
      surpriseOf: async () => undefined,
      paths: { modelDir: '/none', cacheDir: '/none', suiteFolder: '/none', promptsFolder: '/none' },
      publish: () => undefined,
    });
  const nights = start();
  return {
    ledger,
    nights,
    restarted: start,
    async commit({ passed = true, prepare } = {}) {
      const building = await ledger.building(NIGHT);
      await writeFile(join(building.path, 'delta.safetensors'), 'delta');
      await prepare?.(building);
      await ledger.commit({
        night: NIGHT,
        number: 1,
        day: '2026-03-03',
        base: BASE,
        parent: null,
        inForce: [],
        seed: 1,
        config: 'c'.repeat(64),
        software: {},
        data: [],
        delta: { file: 'delta.safetensors', hash: 'd'.repeat(64), relativeNorm: 0.1, steps: 1 },
        gate: { passed, reasons: [] },
        startedAt: '2026-03-03T02:00:00.000Z',
        endedAt: '2026-03-03T02:30:00.000Z',
      });
    },
    openDaemon() {
      const slider = {} as SliderParts;
      const conversations = {
        offered: () => ({ total: 0, conversations: [] }),
        decide: async () => 0,
      };
      const routes = nightRoutes({
        ...{ nights, conversations, slider },
        trial: {} as TrialParts,
        schedule: undefined,
      });
      return openTestDaemon({ routes });
    },
    async end() {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const postJson = (url: string, body: object): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
