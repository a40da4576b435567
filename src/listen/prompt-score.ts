// Likelihoods of given words over HTTP: which of the ways that servers offer works with this one.
import { z } from 'zod';
import { type Listener, meanOf } from './listener.ts';
import type { SceneMessage } from './scene.ts';

/** Posts JSON below the address that ends in /v1, or with a leading slash beside it. */
export type Post = (path: string, body: object, signal?: AbortSignal) => Promise<Response>;

export interface ScorerOptions {
  readonly post: Post;
  readonly model: string;
  readonly render?: (messages: readonly SceneMessage[]) => string;
}

export interface Scorer {
  readonly how: string;
  readonly score?: NonNullable<Listener['score']>;
}

type Score = NonNullable<Listener['score']>;

const PROBE: readonly SceneMessage[] = [{ role: 'user', content: 'Is it raining?' }];
const NONE =
  'none: this server tells no log-probabilities of a prompt (vLLM and llama-cpp-python do)';

/** Asks with a short probe; a way that fails in any way is not there. */
export async function findScorer(options: ScorerOptions): Promise<Scorer> {
  const ways: readonly { how: string; score: Score }[] = [
    ...(options.render === undefined
      ? []
      : [
          {
            how: 'echoed by /v1/completions under the chat template that was given',
            score: echoScore(options, async (messages) => options.render?.(messages) ?? ''),
          },
        ]),
    { how: 'prompt_logprobs of /v1/chat/completions (vLLM)', score: chatScore(options) },
    {
      how: 'echoed by /v1/completions under the template of the server',
      score: echoScore(options, (messages) => applyTemplate(options.post, messages)),
    },
  ];
  for (const way of ways) {
    const found = await way.score(PROBE, ['Yes, it', 'No, it']).catch(() => undefined);
    if (found?.length === 2 && found.every(Number.isFinite)) return way;
  }
  return { how: NONE };
}

async function readAs<S extends z.ZodType>(response: Response, schema: S): Promise<z.output<S>> {
  if (!response.ok) throw new Error(`status ${response.status}`);
  return schema.parse(await response.json());
}

const tokenLogprobs = z.array(z.record(z.string(), z.object({ logprob: z.number() })).nullable());
const chatAnswer = z.object({
  usage: z.object({ prompt_tokens: z.number() }),
  prompt_logprobs: tokenLogprobs.nullish(),
});

/** vLLM: log-probabilities of the tokens of a prompt that ends within the reply. */
function chatScore({ post, model }: ScorerOptions): Score {
  const asked = { model, max_tokens: 1, temperature: 0 };
  return async (messages, beginnings, signal) => {
    const body = { ...asked, messages, add_generation_prompt: true };
    const before = await readAs(await post('chat/completions', body, signal), chatAnswer);
    const from = before.usage.prompt_tokens;
    const scores: number[] = [];
    for (const beginning of beginnings) {
      const response = await post(
        'chat/completions',
        {
          ...asked,
          messages: [...messages, { role: 'assistant', content: beginning }],
          add_generation_prompt: false,
          continue_final_message: true,
          prompt_logprobs: 0,
        },
        signal,
      );
      const { prompt_logprobs: all } = await readAs(response, chatAnswer);
      if (all == null || all.length <= from) throw new Error('no log-probabilities of the prompt');
      scores.push(
        meanOf(
          all.slice(from).map((token) => Object.values(token ?? {})[0]?.logprob ?? Number.NaN),
        ),
      );
    }
    return scores;
  };
}

const echoAnswer = z.object({
  choices: z.array(
    z.object({
      logprobs: z.object({
        text_offset: z.array(z.number()),
        token_logprobs: z.array(z.number().nullable()),
      }),
    }),
  ),
});

/** Completions that repeat their prompt with log-probabilities: vLLM, llama-cpp-python. */
function echoScore(
  { post, model }: ScorerOptions,
  render: (messages: readonly SceneMessage[]) => Promise<string>,
): Score {
  return async (messages, beginnings, signal) => {
    const prompt = await render(messages);
    const scores: number[] = [];
    for (const beginning of beginnings) {
      const whole = prompt + beginning;
      const response = await post(
        'completions',
        { model, prompt: whole, max_tokens: 1, temperature: 0, echo: true, logprobs: 1 },
        signal,
      );
      const { logprobs } = (await readAs(response, echoAnswer)).choices[0] ?? {};
      const { text_offset: offsets = [], token_logprobs: values = [] } = logprobs ?? {};
      if ((offsets[0] ?? 1) !== 0) throw new Error('the prompt was not echoed');
      const scored = values.filter((_, i) => {
        const at = offsets[i] as number;
        return at >= prompt.length && at < whole.length;
      });
      if (scored.length === 0) throw new Error('no token of the beginning was scored');
      scores.push(meanOf(scored.map((value) => value ?? Number.NaN)));
    }
    return scores;
  };
}

/** llama-server writes a conversation by its own template. */
async function applyTemplate(post: Post, messages: readonly SceneMessage[]): Promise<string> {
  const response = await post('/apply-template', { messages });
  return (await readAs(response, z.object({ prompt: z.string() }))).prompt;
}
