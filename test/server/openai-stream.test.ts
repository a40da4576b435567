import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { InFlight } from '../../src/chat/reply-runner.ts';
import { EVENT_STREAM, type Format, send } from '../../src/server/openai/stream.ts';

const SILENT: Format = {
  ...EVENT_STREAM,
  whole: () => ({}),
  begin: () => 'begin\n',
  part: () => 'part\n',
  end: () => 'end\n',
  finish: () => 'finish\n',
  fail: ({ code }) => `${code}\n`,
};

describe('a stream', () => {
  it('says that it is alive while a long prompt runs', async () => {
    const written: string[] = [];
    let isEnded = false;
    let fail: () => void = () => undefined;
    const response = {
      writeHead: () => undefined,
      write: (text: string) => {
        written.push(text);
        if (text.startsWith(':')) fail();
      },
      end: () => {
        isEnded = true;
      },
    } as unknown as ServerResponse;
    const ended = new Promise<Awaited<InFlight['ended']>>((resolve) => {
      const error = { code: 'engine-failed', message: 'It died.' };
      const failed = { type: 'reply-failed', conversationId: 'c', replyId: 'r', error } as const;
      fail = () => resolve(failed);
    });
    const head = { keepTokens: false };
    const texts = { text: '', thought: '', calls: [], tokens: [] };
    const reply = { ...texts, head, abort: () => undefined, grown: () => ended };
    const inFlight = { reply, ended } as unknown as InFlight;
    const { signal } = new AbortController();
    await send([inFlight], SILENT, { response, signal, isStream: true, keepAliveMs: 10 });
    expect(written).toEqual(['begin\n', ': keep-alive\n\n', 'engine-failed\n']);
    expect(isEnded).toBe(true);
  });
});
