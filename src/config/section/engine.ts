// Config sections of the engine and of the chat that uses it.
import { z } from 'zod';
import { TemplateVariables } from '../../protocol/conversation.ts';
import { samplingLayerShape } from '../../protocol/sampling-schema.ts';
import { count, countFrom, section, text } from './value.ts';

/** Servers that can speak in place of the engine. */
export const UPSTREAM_KINDS = ['ollama', 'llama-cpp', 'lm-studio', 'vllm', 'openai'] as const;

const upstreamSection = section(
  'A server that speaks in place of the engine; model.path stays the file that trains.',
  {
    kind: z
      .enum(['none', ...UPSTREAM_KINDS])
      .default('none')
      .describe('What runs there; openai is any server with the OpenAI API. None: our own engine.'),
    url: text('').describe('Its address, such as http://127.0.0.1:11434.'),
    key: text('').describe('Sent to it as a bearer token; better in ATTUNE_ENGINE_UPSTREAM_KEY.'),
    model: text('').describe('The name of the model there.'),
    command: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Of llama-cpp: starts another server for the model with an adapter, without a shell: a ' +
          'program and its arguments, with {port}, and {lora} or else --lora FILE at the end.',
      ),
  },
).superRefine(({ kind, url, model, command }, context) => {
  const refuse = (path: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [path], message });
  if (kind === 'none') return;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) refuse('url', 'write http://host:port');
  if (model === '') refuse('model', 'is missing: the name of the model there');
  const isWhole = command.length === 0 || command.some((part) => part.includes('{port}'));
  if (!isWhole) refuse('command', 'has no {port}, which Attune chooses');
});

export const engineSection = section('The engine: the device, and what it may use.', {
  device: z
    .enum(['auto', 'cpu', 'webgpu', 'cuda'])
    .default('auto')
    .describe('Where the model runs; auto is WebGPU where an adapter is faster, else the CPU.'),
  threads: countFrom(0, 0, { max: 256 }).describe(
    'Threads of one run; 0 is the number of physical cores.',
  ),
  windowTokens: countFrom(0, 0).describe(
    'Tokens of prompt and reply together; 0 is what the model was made for, at most 32768.',
  ),
  cacheBytesMax: countFrom(1_048_576, 536_870_912).describe(
    'Bytes of all KV caches together; the least recently used are dropped first.',
  ),
  batchMax: countFrom(1, 64, { max: 256 }).describe('Replies that decode together.'),
  prefillChunkTokens: count(256).describe('Prompt tokens that run at once.'),
  restartsMax: countFrom(0, 5).describe(
    'How often a dead engine is started again within ten minutes.',
  ),
  upstream: upstreamSection.prefault({}),
});

export const chatSection = section(
  'Replies. A conversation or a request may say otherwise for itself.',
  {
    systemPrompt: text('').describe(
      'First message of every conversation that has none of its own; empty is none.',
    ),
    replyTokensMax: count(512).describe('Tokens of the longest reply.'),
    sampling: z
      .strictObject(samplingLayerShape)
      .describe(
        "How replies are drawn. What is absent is as the model's makers suggest " +
          '(generation_config.json, or the metadata of a GGUF file), else as built in.',
      )
      .prefault({}),
    stopStrings: z
      .array(z.string().min(1))
      .max(16)
      .default([])
      .describe('A reply ends before one of these.'),
    templateVariables: TemplateVariables.default({}).describe(
      'Variables of the chat template, such as `{enable_thinking: false}`.',
    ),
    learnFromApi: z
      .enum(['ask', 'always', 'never'])
      .default('ask')
      .describe(
        'Whether nights learn from conversations that come over the OpenAI-compatible API; ask ' +
          'keeps them, and offers them on the page of the nights.',
      ),
    replyReserveTokens: count(128).describe(
      'Tokens kept free for the reply when old turns must leave the window.',
    ),
  },
);
