import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

let daemon: TestDaemon;
let client: OpenAI;
const apiKey = 'the-daemons-token';

beforeAll(async () => {
  daemon = await openTestDaemon({ tokenDelayMs: 1, config: { server: { token: apiKey } } });
  client = new OpenAI({ apiKey, baseURL: `${daemon.url}/v1`, maxRetries: 0 });
});

afterAll(() => daemon.end());

const user = (content: string) => ({ role: 'user' as const, content });

describe('the official openai client', () => {
  it('lists the models', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual(['attune', 'fake']);
    expect((await client.models.retrieve('fake')).owned_by).toBe('attune');
  });

  it('gets a whole answer with usage', async () => {
    const answer = await client.chat.completions.create({
      model: 'attune',
      messages: [{ role: 'system', content: 'Be brief.' }, user('hello')],
    });
    const [choice] = answer.choices;
    expect(choice?.message).toMatchObject({ role: 'assistant', content: 'You said: hello' });
    expect(choice?.finish_reason).toBe('stop');
    expect(answer.usage?.completion_tokens).toBe(15);
    expect(answer.usage?.total_tokens).toBe(15 + (answer.usage?.prompt_tokens ?? 0));
    expect(daemon.engine.requests.at(-1)?.ids).toContain(65_537);
  });

  it('gets a streamed answer, with usage when it asks for it', async () => {
    const stream = await client.chat.completions.create({
      model: 'attune',
      messages: [user('a streamed hello')],
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let finish: string | null | undefined;
    let tokens: number | undefined;
    for await (const part of stream) {
      text += part.choices[0]?.delta.content ?? '';
      finish = part.choices[0]?.finish_reason ?? finish;
      tokens = part.usage?.completion_tokens ?? tokens;
    }
    expect([text, finish, tokens]).toEqual(['You said: a streamed hello', 'stop', 26]);
  });

  it('has its settings kept to: stop, max_tokens, temperature, top_p, seed', async () => {
    const messages = [user('one two three')];
    const stopped = await client.chat.completions.create({
      model: 'attune',
      messages,
      stop: ['two', 'never'],
      temperature: 0.3,
      top_p: 0.5,
      seed: 42,
    });
    expect(stopped.choices[0]?.message.content).toBe('You said: one ');
    expect(stopped.choices[0]?.finish_reason).toBe('stop');
    expect(daemon.engine.requests.at(-1)?.sampling).toMatchObject({
      temperature: 0.3,
      topP: 0.5,
      seed: 42,
    });
    // What is not OpenAI's has the name under which other servers take it.
    const extra = { top_k: 7, min_p: 0.1, repetition_penalty: 1.2 };
    const body = { model: 'attune', messages, ...extra };
    await client.chat.completions.create(body);
    expect(daemon.engine.requests.at(-1)?.sampling).toMatchObject({
      ...{ temperature: 0.7, topP: 0.95 },
      ...{ topK: 7, minP: 0.1, repetitionPenalty: 1.2 },
    });
    const short = await client.chat.completions.create({
      model: 'attune',
      messages,
      max_tokens: 3,
    });
    expect(short.choices[0]?.message.content).toBe('You');
    expect(short.choices[0]?.finish_reason).toBe('length');
  });

  it('gets log-probabilities, whole and streamed', async () => {
    const messages = [user('ab')];
    const settings = { model: 'attune', messages, logprobs: true, top_logprobs: 2 };
    const answer = await client.chat.completions.create(settings);
    const content = answer.choices[0]?.logprobs?.content ?? [];
    expect(content.map(({ token }) => token).join('')).toBe('You said: ab');
    expect(content[0]).toMatchObject({ logprob: -0.5, bytes: [89] });
    expect(content[0]?.top_logprobs).toHaveLength(2);
    const stream = await client.chat.completions.create({ ...settings, stream: true });
    let tokens = '';
    for await (const part of stream) {
      for (const { token } of part.choices[0]?.logprobs?.content ?? []) tokens += token;
    }
    expect(tokens).toBe('You said: ab');
  });

  it('goes on in a talk that was begun elsewhere, but does not answer its words anew', async () => {
    const live = await daemon.connect({ hello: false });
    await live.hello(apiKey);
    const { reply } = await live.say('begun-live', 'm1', 'begun in the terminal');
    const assistant = { role: 'assistant' as const, content: `${reply.text} ` };
    const before = [user('begun in the terminal')];
    const messages = [...before, assistant, user('and now here')];
    await client.chat.completions.create({ model: 'attune', messages });
    await client.chat.completions.create({ model: 'attune', messages: before });
    const { entries, origin } = await daemon.store.conversations.read('begun-live');
    expect(entries.map(({ text }) => text)).toEqual([
      'begun in the terminal',
      'You said: begun in the terminal',
      'and now here',
      'You said: and now here',
    ]);
    expect(origin).toBe('live');
  });

  it('goes on in one logged talk, and asked again answers anew in it', async () => {
    const before = daemon.store.conversations.size;
    const first = await client.chat.completions.create({
      model: 'attune',
      messages: [user('first')],
    });
    const history = [
      user('first'),
      { role: 'assistant' as const, content: first.choices[0]?.message.content ?? '' },
    ];
    const messages = [...history, user('second')];
    await client.chat.completions.create({ model: 'attune', messages });
    await client.chat.completions.create({ model: 'attune', messages });
    expect(daemon.store.conversations.size).toBe(before + 1);
    const [newest] = daemon.store.conversations.list({ limit: 1 }).conversations;
    const state = await daemon.store.conversations.read(newest?.id ?? '');
    expect(state.origin).toBe('openai');
    expect(state.entries.map(({ text }) => text)).toEqual([
      'first',
      'You said: first',
      'second',
      'You said: second',
      'You said: second',
    ]);
    expect(state.entries.map((entry) => 'isSuperseded' in entry && entry.isSuperseded)).toEqual([
      false,
      false,
      false,
      true,
      false,
    ]);
  });

  it('may change what was said before: that is a talk of its own', async () => {
    const before = daemon.store.conversations.size;
    const messages = [user('first'), { role: 'assistant' as const, content: 'forged' }, user('x')];
    await client.chat.completions.create({ model: 'attune', messages });
    expect(daemon.store.conversations.size).toBe(before + 1);
  });

  it('asks the same many times at once, and each is answered', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        client.chat.completions.create({ model: 'attune', messages: [user('all at once')] }),
      ),
    );
    for (const answer of answers) {
      expect(answer.choices[0]?.message.content).toBe('You said: all at once');
    }
  });

  it('ends the reply when it goes away', async () => {
    const stream = await client.chat.completions.create({
      model: 'attune',
      messages: [user('x'.repeat(400))],
      stream: true,
    });
    for await (const part of stream) if (part.choices[0]?.delta.content) break;
    stream.controller.abort();
    await expect.poll(() => daemon.engine.repliesInFlight).toBe(0);
    await expect.poll(() => daemon.chat.repliesRunning).toBe(0);
    const [newest] = daemon.store.conversations.list({ limit: 1 }).conversations;
    const state = await daemon.store.conversations.read(newest?.id ?? '');
    expect(state.entries.at(-1)).toMatchObject({ stopReason: 'aborted' });
  });

  it.each([
    [{ model: 'gpt-9', messages: [user('x')] }, 404, 'model_not_found'],
    [{ model: 'attune', messages: [] }, 400, 'message-invalid'],
    [{ model: 'attune', messages: [user('x')], tools: [{}] }, 400, 'message-invalid'],
    [{ model: 'attune', messages: [user('x')], temperature: 9 }, 400, 'message-invalid'],
    [{ model: 'attune', messages: [user('x')], logit_bias: { 99999: 1 } }, 400, 'message-invalid'],
    [{ model: 'attune', messages: [user('x'.repeat(5000))] }, 400, 'context_length_exceeded'],
    [{ model: 'attune', messages: [user('x'.repeat(100_001))] }, 400, 'context_length_exceeded'],
  ])('is refused in its own format: %j', async (body, status, code) => {
    const before = daemon.store.conversations.size;
    const asked = client.chat.completions.create(body as never);
    await expect(asked).rejects.toBeInstanceOf(OpenAI.APIError);
    const error = await asked.catch((caught: InstanceType<typeof OpenAI.APIError>) => caught);
    expect(error).toMatchObject({ status, code });
    expect(daemon.store.conversations.size).toBe(before);
  });

  it('with a wrong key is refused as such', async () => {
    const stranger = new OpenAI({ apiKey: 'wrong', baseURL: `${daemon.url}/v1`, maxRetries: 0 });
    const asked = stranger.chat.completions.create({ model: 'attune', messages: [user('x')] });
    await expect(asked).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it('is told when the engine dies, whole and streamed', async () => {
    const body = { model: 'attune', messages: [user('x'.repeat(300))] };
    const asked = client.chat.completions.create(body);
    await expect.poll(() => daemon.engine.repliesInFlight).toBe(1);
    daemon.engine.die();
    await expect(asked).rejects.toMatchObject({ status: 503, code: 'engine-failed' });
    daemon.engine.revive();
    const stream = await client.chat.completions.create({ ...body, stream: true });
    const read = async (): Promise<void> => {
      for await (const part of stream) if (part.choices[0]?.delta.content) daemon.engine.die();
    };
    await expect(read()).rejects.toThrow();
    daemon.engine.revive();
  });
});
