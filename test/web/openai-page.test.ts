// A page of another site whose origin is allowed, with the openai package in a real browser.
import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import { canBrowse, NEEDS, openBrowser, openPage, SLOW } from './browser.ts';

const PACKAGE = join(installationFolder, 'node_modules', 'openai');

/** The package as it is, a file for each of its modules, and a page with nothing on it. */
async function serveSite(): Promise<{ server: Server; origin: string }> {
  const server = createServer(({ url = '/' }, response) => {
    const isModule = /^\/openai\/[\w./-]+\.mjs$/.test(url) && !url.includes('..');
    response.setHeader('Content-Type', isModule ? 'text/javascript' : 'text/html');
    if (!isModule) return response.end('<!doctype html><link rel="icon" href="data:,">');
    return createReadStream(join(PACKAGE, url.slice('/openai/'.length)))
      .on('error', () => response.destroy())
      .pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** What the page does with the package, as text. */
const use = (baseURL: string): string => `(async () => {
  const { default: OpenAI } = await import('/openai/index.mjs');
  const options = { apiKey: 'none', dangerouslyAllowBrowser: true, maxRetries: 0 };
  const client = new OpenAI({ baseURL: ${JSON.stringify(`${baseURL}/v1`)}, ...options });
  const model = 'attune';
  const body = { model, messages: [{ role: 'user', content: 'hello' }] };
  const headers = { 'HTTP-Referer': location.href, 'X-Title': 'A page' };
  try {
    const whole = await client.chat.completions.create(body, { headers });
    let streamed = '';
    for await (const part of await client.chat.completions.create({ ...body, stream: true }))
      streamed += part.choices[0]?.delta.content ?? '';
    const response = await client.responses.create({ model, input: 'hello' });
    const wrong = await client.chat.completions.create({ ...body, n: 0 }).catch((one) => one);
    return {
      models: (await client.models.list()).data.map(({ id }) => id),
      whole: whole.choices[0].message.content,
      streamed,
      response: response.output_text,
      wrong: [wrong.status, wrong.param],
    };
  } catch (error) {
    return error.constructor.name + ': ' + error.message;
  }
})()`;

describe.skipIf(!canBrowse)(`the openai package on another site's page ${NEEDS}`, SLOW, () => {
  let site: Awaited<ReturnType<typeof serveSite>>;
  let browser: Browser;
  const daemons: TestDaemon[] = [];
  beforeAll(async () => {
    site = await serveSite();
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    site?.server.close();
    for (const daemon of daemons) await daemon.end();
  });

  async function ask(allowedOrigins: string[]): Promise<unknown> {
    const daemon = await openTestDaemon({ config: { server: { allowedOrigins } } });
    daemons.push(daemon);
    const { page, close } = await openPage(browser, site.origin);
    const found = await page.evaluate(use(daemon.url));
    await close();
    return found;
  }

  it('works where its origin is allowed', async () => {
    expect(await ask([site.origin])).toEqual({
      models: ['attune', expect.any(String)],
      whole: 'You said: hello',
      streamed: 'You said: hello',
      response: 'You said: hello',
      wrong: [400, 'n'],
    });
  });

  it('reaches nothing where it is not', async () => {
    expect(await ask(['https://elsewhere.example'])).toMatch(/^APIConnectionError/);
  });
});
