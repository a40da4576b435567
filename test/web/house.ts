// What the browser tests of one file share: a daemon whose engine can be held, and a browser.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import type { ConfigPatch } from '../../src/config/schema.ts';
import type { ChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import { openBrowser, webFolder } from './browser.ts';
import { HeldEngine } from './held-engine.ts';

export interface House {
  readonly engine: HeldEngine;
  readonly daemon: TestDaemon;
  readonly browser: Browser;
}

/** To be called in a `describe`; daemon and browser are there once its tests begin. */
export function openHouse(
  config: ConfigPatch = {},
  tokenizer: ChatTokenizer = fakeTokenizer,
): House {
  const engine = new HeldEngine();
  const house: { engine: HeldEngine; daemon?: TestDaemon; browser?: Browser } = { engine };
  beforeAll(async () => {
    house.daemon = await openTestDaemon({ config, webFolder, engine, tokenizer });
    house.browser = await openBrowser();
  }, 60_000);
  afterAll(async () => {
    await house.browser?.close();
    await house.daemon?.end();
  });
  return house as House;
}
