// The daemon with its real engine process: a second turn, a stop, an engine that dies.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { installationFolder, loadConfig } from '../../src/config/load.ts';
import { openEngineProcess } from '../../src/engine/process/client.ts';
import { type SupervisedEngine, superviseEngine } from '../../src/engine/process/supervise.ts';
import { type Daemon, openDaemon } from '../../src/main.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { openStore } from '../../src/store/store.ts';
import { createChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { TestClient } from '../server/test-client.ts';
import { writeSmallModel } from './small-model.ts';

// A daemon runs with a model.
vi.setConfig({ testTimeout: 60_000 });

const isBuilt = existsSync(join(installationFolder, 'dist', 'engine', 'process', 'child.js'));
const title = (text: string): string =>
  isBuilt ? text : `SKIPPED, run npm run build first: ${text}`;

let folder: string;
let engine: SupervisedEngine;
let daemon: Daemon;
let client: TestClient;

beforeAll(async () => {
  if (!isBuilt) return;
  folder = await mkdtemp(join(tmpdir(), 'attune-daemon-'));
  const modelDir = await writeSmallModel();
  const { config } = await loadConfig({
    options: {
      server: { port: 0 },
      chat: { replyTokensMax: 40, sampling: { temperature: 1 } },
      night: { isEnabled: false },
    },
  });
  const { restartsMax, ...settings } = config.engine;
  const cacheDir = join(folder, 'cache');
  engine = await superviseEngine({
    open: (version) =>
      openEngineProcess({ ...settings, modelDir, cacheDir, ...(version ? { version } : {}) }),
    restartsMax,
  });
  const { baseHash: base } = await engine.describe();
  const shared = { config, clock: systemClock, logger: silentLogger };
  const store = await openStore(folder, {
    ...{ ...shared, base },
    ...{ memory: config.memory, limits: config.server.limits },
  });
  const tokenizer = createChatTokenizer(await loadTokenizer(modelDir));
  const nowhere = join(folder, 'none');
  daemon = await openDaemon(
    {
      ...{ ...shared, store, engine, tokenizer },
      sampling: resolveSampling([config.chat.sampling]),
      paths: {
        ...{ store: folder, cache: cacheDir, model: modelDir },
        ...{ suites: nowhere, prompts: nowhere, web: nowhere },
      },
    },
    [() => engine.close(), () => store.close()],
  );
  client = await TestClient.open(daemon.port);
  await client.hello();
}, 120_000);

afterAll(async () => {
  if (!isBuilt) return;
  client.kill();
  await daemon.close();
  await rm(folder, { recursive: true });
});

it.skipIf(!isBuilt)(
  title('a second turn prefills its new tokens only, whatever the first reply was sampled as'),
  async () => {
    const first = await client.say('talk', 'm1', 'Please book a table for two on Friday.');
    // Of a reply that its limit cut within a character only the words stay, at the price of its keys.
    const isCut = first.reply.text.endsWith('\uFFFD');
    const { promptTokens: asked, replyTokens } = first.reply.usage;
    const known = isCut ? asked : asked + replyTokens;
    const second = await client.say('talk', 'm2', 'No, on Saturday.');
    const { promptTokens, reusedTokens } = second.reply.usage;
    // The last token of the reply was sampled and never fed: it has no keys yet.
    expect(reusedTokens).toBeGreaterThanOrEqual(known - 1);
    expect(promptTokens - reusedTokens).toBeLessThan(isCut ? Number.POSITIVE_INFINITY : 30);
  },
  60_000,
);

it.skipIf(!isBuilt)(
  title('a talk longer than the window goes on, and says what left it'),
  async () => {
    let dropped = 0;
    for (let turn = 0; turn < 12 && dropped === 0; turn++) {
      const text = `This is turn ${turn} of a long talk about tables, Fridays and rooms. `.repeat(
        3,
      );
      const { reply, error } = await client.say('long', `l${turn}`, text);
      expect(error).toBeNull();
      dropped = reply.window?.turnsDropped ?? 0;
    }
    expect(dropped).toBeGreaterThan(0);
  },
  120_000,
);

it.skipIf(!isBuilt)(
  title(
    'an engine process killed in the middle of a reply interrupts it, and its successor speaks',
  ),
  async () => {
    const { pid } = engine;
    client.send({
      type: 'message-say',
      conversationId: 'killed',
      messageId: 'k1',
      text: 'Tell me something long.',
    });
    await client.next('reply-start', ({ conversationId }) => conversationId === 'killed');
    process.kill(pid as number, 'SIGKILL');
    const { reply, error } = await client.next('reply-end', (end) => end.reply.messageId === 'k1');
    // On a fast machine the reply may have been through.
    if (reply.stopReason === 'interrupted') expect(error?.code).toBe('engine-failed');
    client.send({ type: 'reply-regenerate', conversationId: 'killed', replyId: 'again' });
    const again = await client.next('reply-end', (end) => end.reply.id === 'again', 60_000);
    expect(again.error).toBeNull();
    expect(again.reply.usage.replyTokens).toBeGreaterThan(0);
    expect(engine.pid).not.toBe(pid);
  },
  120_000,
);
