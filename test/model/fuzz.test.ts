import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { readSafetensors, readTensor } from '../../src/model/checkpoint/safetensors.ts';
import { parseSafetensorsHeader } from '../../src/model/checkpoint/safetensors-header.ts';
import { parseConfig } from '../../src/model/config.ts';
import { fc } from '../property.ts';
import { encode, floats } from './bytes.ts';
import { temporaryFolder } from './runner.ts';

// Many damaged folders are read.
vi.setConfig({ testTimeout: 60_000 });

const CODES = ['model-damaged', 'model-unsupported'];

/** Runs it; the only error it may give is a coded refusal of the model. */
function mayRefuse<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof AttuneError && CODES.includes(error.code)) return undefined;
    throw error;
  }
}

/** Mostly what a header holds, now and then anything. */
const size = fc.oneof(fc.nat(8), fc.double(), fc.integer(), fc.constantFrom(2 ** 31, 2 ** 53, -0));
const entry = fc.oneof(
  fc.record(
    {
      dtype: fc.oneof(fc.constantFrom('F32', 'F16', 'BF16', 'I8', 'F4', 'BOOL'), fc.anything()),
      shape: fc.oneof(fc.array(size, { maxLength: 4 }), fc.anything()),
      data_offsets: fc.oneof(fc.tuple(size, size), fc.array(size), fc.anything()),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue(),
);
const header = fc.dictionary(
  fc.oneof(fc.string(), fc.constantFrom('__metadata__', '__proto__')),
  entry,
);

describe('a fuzzed safetensors header', () => {
  const parse = (bytes: Uint8Array, dataBytes: number) =>
    mayRefuse(() => parseSafetensorsHeader(bytes, dataBytes, 'fuzz'));

  test('of any JSON is proved sound or refused with a code', () => {
    fc.assert(
      fc.property(header, fc.nat(64), (json, dataBytes) => {
        const parsed = parse(Buffer.from(JSON.stringify(json) ?? ''), dataBytes);
        let filled = 0;
        for (const { begin, end } of parsed?.entries ?? []) {
          expect(begin).toBe(filled);
          filled = end;
        }
        if (parsed !== undefined) expect(filled).toBe(dataBytes);
      }),
      { numRuns: 2000 },
    );
  });

  test('of any text or bytes is refused with a code', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(Buffer.from)),
        (bytes) => {
          parse(bytes, 0);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('nested without end is refused quickly', () => {
    const deep = `{"a":{"dtype":${'['.repeat(200_000)}${']'.repeat(200_000)},"shape":[],"data_offsets":[0,0]}}`;
    expect(parse(Buffer.from(deep), 0)).toBeUndefined();
    const long = `{"${'\\"'.repeat(2_000_000)}":${' '.repeat(2_000_000)}{}}`;
    expect(parse(Buffer.from(long), 0)).toBeUndefined();
  });
});

test('a safetensors file with bytes changed or cut is read or refused with a code', async () => {
  const path = join(await temporaryFolder(), 'fuzz.safetensors');
  const sound = encode({
    a: { dtype: 'F32', shape: [2, 2], bytes: floats(1, 2, 3, 4) },
    b: { dtype: 'BF16', shape: [4], bytes: new Uint8Array(8) },
  });
  const change = fc.record({ at: fc.nat(sound.length - 1), value: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 4 }),
      fc.nat(sound.length),
      fc.boolean(),
      async (changes, kept, isCut) => {
        const bytes = Buffer.from(sound);
        for (const { at, value } of changes) bytes[at] = value;
        await writeFile(path, isCut ? bytes.subarray(0, kept) : bytes);
        try {
          for (const tensor of (await readSafetensors(path)).tensors.values()) {
            await readTensor(tensor);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(AttuneError);
          expect(CODES).toContain((error as AttuneError).code);
        }
      },
    ),
    { numRuns: 400 },
  );
});

describe('a fuzzed config.json', () => {
  const sound = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    vocab_size: 16,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 16,
    head_dim: 4,
    rope_theta: 10000,
    rope_scaling: null,
    rope_parameters: { rope_type: 'default', rope_theta: 10000 },
    layer_types: ['full_attention'],
    sliding_window: 4,
    use_sliding_window: false,
    max_window_layers: 2,
    quantization_config: null,
    eos_token_id: [2],
  };
  const change = fc.dictionary(fc.constantFrom(...Object.keys(sound)), fc.anything());

  test('with any of its fields changed is read or refused with a code', () => {
    const families = fc.constantFrom('llama', 'mistral', 'qwen2', 'qwen3');
    fc.assert(
      fc.property(change, families, (changed, family) => {
        const json = { ...sound, architectures: null, model_type: family, ...changed };
        const parsed = mayRefuse(() => parseConfig(json, 'fuzz'));
        if (parsed === undefined) return;
        expect(parsed.numAttentionHeads % parsed.numKeyValueHeads).toBe(0);
        expect(Number.isSafeInteger(parsed.headDim / 2)).toBe(true);
        expect(parsed.rope.ropeTheta).toBeGreaterThan(0);
      }),
      { numRuns: 3000 },
    );
  });

  test('of anything at all is refused with a code', () => {
    fc.assert(
      fc.property(fc.anything(), (json) => {
        expect(mayRefuse(() => parseConfig(json, 'fuzz'))).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  test('nested without end is refused quickly', () => {
    const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    for (const field of Object.keys(sound)) {
      mayRefuse(() => parseConfig({ ...sound, [field]: deep }, 'fuzz'));
    }
  });
});
