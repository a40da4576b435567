// A person types in a real browser, which is reloaded or closed, while the daemon is killed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { createRandom } from '../../src/base/random.ts';
import { HttpClient } from '../../src/cli/daemon.ts';
import { writeSmallModel } from '../system/small-model.ts';
import { canBrowse, NEEDS, openBrowser } from '../web/browser.ts';
import { kill, type Running, start } from './kill-loop.ts';

const ROUNDS = Number(process.env.ATTUNE_TEST_ROUNDS ?? 50);
const PATIENT = { timeout: 300_000, interval: 500 };
const LIST = z.object({ conversations: z.array(z.object({ id: z.string() })) });
const WHOLE = z.object({
  conversation: z.object({ history: z.array(z.object({ role: z.string(), text: z.string() })) }),
});

it.skipIf(!canBrowse)(
  `nothing typed is lost or said twice in ${ROUNDS} reloads and kills ${NEEDS}`,
  async () => {
    const store = await mkdtemp(join(tmpdir(), 'attune-typed-'));
    const modelDir = await writeSmallModel();
    let daemon: Running = await start(store, modelDir);
    const settings = [`server.port=${daemon.port}`];
    const url = `http://127.0.0.1:${daemon.port}`;
    const browser = await openBrowser();
    const context = await browser.newContext();
    let page: Page = await context.newPage();
    await page.goto(url);
    const field = () => page.getByLabel('Your message');
    const random = createRandom(50);
    const typed: string[] = [];
    const counts = { reloads: 0, closed: 0, kills: 0 };
    const restart = async (): Promise<void> => {
      counts.kills++;
      await kill(daemon);
      daemon = await start(store, modelDir, settings);
    };
    for (let round = 0; round < ROUNDS; round++) {
      const text = `Message ${round}`;
      await field().fill(text);
      const before = random.uniform();
      if (before < 0.3) await page.reload();
      await expect.poll(() => field().inputValue(), PATIENT).toBe(text);
      await field().press('Enter');
      typed.push(text);
      await page.waitForTimeout(random.uniform() * 120);
      const after = random.uniform();
      if (after < 0.2) await restart();
      else if (after < 0.4) {
        counts.closed++;
        const address = page.url();
        await page.close();
        page = await context.newPage();
        await page.goto(address);
      } else {
        counts.reloads++;
        await page.reload();
      }
    }
    const client = new HttpClient({ url, token: '' });
    const said = async (): Promise<string[]> => {
      const { conversations } = await client.get('/api/conversations', LIST);
      const all = await Promise.all(
        conversations.map(({ id }) => client.get(`/api/conversations/${id}`, WHOLE)),
      );
      const messages = all.flatMap(({ conversation }) => conversation.history);
      return messages.flatMap(({ role, text }) => (role === 'user' ? [text] : []));
    };
    const inOrder = (texts: readonly string[]) => [...texts].sort();
    await expect.poll(async () => inOrder(await said()), PATIENT).toEqual(inOrder(typed));
    expect(await field().inputValue()).toBe('');
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(2);
    await browser.close();
    await kill(daemon);
    await rm(store, { recursive: true, force: true });
  },
  3_600_000,
);
