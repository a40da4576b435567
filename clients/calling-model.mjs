// Writes a model that always calls a tool, and answers once the tool has: a real checkpoint, whose
// next token depends on the last one alone, so that clients can be seen to run a whole tool loop.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const ANSWER = 'It is sunny in Rome.';
/** What the template ends with where the last message is a tool's. */
const TOLD = '<|told|>';
const END = 2;
const HIDDEN = 32;

const TEMPLATE = `{%- if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|end|>{% endif %}
{%- for message in messages %}<|{{ message.role if message.role != 'tool' else 'user' }}|>
{{- message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>
{%- endfor %}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>
{%- if messages[-1].role == 'tool' %}${TOLD}{% endif %}{% endif %}`;

/** The tokenizer is the companion's, with three more tokens. @returns the folder */
export function writeCallingModel(dir, companion) {
  mkdirSync(dir, { recursive: true });
  const read = (name) => JSON.parse(readFileSync(join(companion, name), 'utf8'));
  const write = (name, value) => writeFileSync(join(dir, name), JSON.stringify(value));
  const tokenizer = read('tokenizer.json');
  const config = read('config.json');
  const [call, answer, told] = [0, 1, 2].map((more) => config.vocab_size + more);
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  tokenizer.added_tokens.push(
    { id: call, content: CALL, ...plain, special: false },
    { id: answer, content: ANSWER, ...plain, special: false },
    { id: told, content: TOLD, ...plain, special: true },
  );
  const vocabulary = config.vocab_size + 3;
  write('tokenizer.json', tokenizer);
  write('tokenizer_config.json', { ...read('tokenizer_config.json'), chat_template: TEMPLATE });
  write('config.json', {
    ...config,
    vocab_size: vocabulary,
    ...{ hidden_size: HIDDEN, intermediate_size: 32, num_hidden_layers: 1, head_dim: 8 },
    ...{ num_attention_heads: 4, num_key_value_heads: 4, tie_word_embeddings: false },
    torch_dtype: 'float32',
  });
  const embedding = new Float32Array(vocabulary * HIDDEN);
  for (let id = 0; id < vocabulary; id++) {
    const kind = id === call || id === answer ? 1 : id === told ? 2 : 0;
    embedding[id * HIDDEN + kind] = 1;
  }
  const head = new Float32Array(vocabulary * HIDDEN);
  for (const [kind, next] of [call, END, answer].entries()) head[next * HIDDEN + kind] = 20;
  writeFileSync(
    join(dir, 'model.safetensors'),
    safetensors(tensorsOf(embedding, head, vocabulary)),
  );
  return dir;
}

/** Attention and MLP add nothing, so the head sees the embedding of the last token. */
function tensorsOf(embedding, head, vocabulary) {
  const square = [HIDDEN, HIDDEN];
  const nothing = (shape) => [shape, new Float32Array(shape[0] * shape[1])];
  const ones = [[HIDDEN], new Float32Array(HIDDEN).fill(1)];
  const layer = {
    'input_layernorm.weight': ones,
    'post_attention_layernorm.weight': ones,
    ...Object.fromEntries(
      [
        ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `self_attn.${name}`),
        ...['gate_proj', 'up_proj', 'down_proj'].map((name) => `mlp.${name}`),
      ].map((name) => [`${name}.weight`, nothing(square)]),
    ),
  };
  return {
    'model.embed_tokens.weight': [[vocabulary, HIDDEN], embedding],
    'model.norm.weight': ones,
    'lm_head.weight': [[vocabulary, HIDDEN], head],
    ...Object.fromEntries(
      Object.entries(layer).map(([name, tensor]) => [`model.layers.0.${name}`, tensor]),
    ),
  };
}

function safetensors(tensors) {
  let end = 0;
  const header = {};
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    const begin = end;
    end += values.byteLength;
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] };
  }
  const text = JSON.stringify(header);
  const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const pieces = Object.values(tensors).map(([, values]) => Buffer.from(values.buffer));
  return Buffer.concat([length, head, ...pieces]);
}
