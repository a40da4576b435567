import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { ConversationImported } from '../../src/protocol/http.ts';
import { writeSmallModel } from '../system/small-model.ts';
import { kill, type Running, start } from './kill-loop.ts';

const MESSAGES = 8_000;
const ROUNDS = Number(process.env.ATTUNE_TEST_KILLS ?? 10);

function bodyOf(id: string): string {
  const messages = Array.from({ length: MESSAGES }, (_, at) => {
    const role = at % 2 === 0 ? 'user' : 'assistant';
    return { id: `m${at}`, role, text: `${at} ${'many words '.repeat(600)}`, at: 1_000 + at };
  });
  return JSON.stringify({ id, title: id, origin: 'import', messages });
}

async function send({ port }: Running, body: string): Promise<ConversationImported | undefined> {
  const headers = { 'Content-Type': 'application/json' };
  const url = `http://127.0.0.1:${port}/api/conversations`;
  const answer = await fetch(url, { method: 'POST', headers, body }).catch(() => undefined);
  return answer?.ok ? ConversationImported.parse(await answer.json()) : undefined;
}

async function stored({ port }: Running, id: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/conversations?limit=100`);
  const list = (await answer.json()) as { conversations: { id: string; messages: number }[] };
  return list.conversations.find((one) => one.id === id)?.messages ?? 0;
}

it('killed in the middle of an import, a store has all of it or nothing, and takes it again', async () => {
  const store = await mkdtemp(join(tmpdir(), 'attune-import-kill-'));
  const modelDir = await writeSmallModel();
  const random = createRandom('import-kill');
  const found = { none: 0, whole: 0 };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const id = `book-${round}`;
      const running = await start(store, modelDir);
      const sending = send(running, bodyOf(id));
      await delay(100 + random.uniform() * 1_500);
      await kill(running);
      const told = await sending;
      const again = await start(store, modelDir);
      const before = await stored(again, id);
      expect([0, MESSAGES]).toContain(before);
      if (told !== undefined) expect(before).toBe(MESSAGES);
      found[before === 0 ? 'none' : 'whole']++;
      expect((await send(again, bodyOf(id)))?.messages).toBe(MESSAGES - before);
      expect(await stored(again, id)).toBe(MESSAGES);
      await kill(again);
    }
  } finally {
    await rm(store, { recursive: true, force: true });
  }
  expect(found.none + found.whole).toBe(ROUNDS);
});
