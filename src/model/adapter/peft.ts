// An adapter as PEFT stores it: a folder with adapter_config.json and adapter_model.safetensors.
import { join } from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../../base/atomic-file.ts';
import { systemFileOps } from '../../base/file-ops.ts';
import { readJson } from '../checkpoint/folder.ts';
import { checked, damaged, unsupported } from '../checkpoint/refusal.ts';
import { readSafetensors, readTensor } from '../checkpoint/safetensors.ts';
import { writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import type { LowRankDelta } from '../delta.ts';
import { type Adapter, refuseOthers } from './adapter.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const CONFIG_BYTES_MAX = 4 * 2 ** 20;
/** Source: peft 0.21, save_and_load.py: the name of the module in the model, below these. */
const MODULE = 'base_model.model.model.';

/** Writes the folder. @param base the model as its hub or its folder names it */
export async function writePeft(
  dir: string,
  { rank, layers }: Adapter,
  base: string,
): Promise<void> {
  await systemFileOps.makeFolder(dir);
  const tensors = [...layers].flatMap(
    ([
      name,
      {
        shape: [out, width],
        loraA,
        loraB,
      },
    ]) => {
      const module = `${MODULE}${name.replace('.qProj', '.self_attn.q_proj')}`;
      return [
        {
          name: `${module}.lora_A.weight`,
          dtype: 'F32' as const,
          shape: [rank, width],
          pieces: [loraA],
        },
        {
          name: `${module}.lora_B.weight`,
          dtype: 'F32' as const,
          shape: [out, rank],
          pieces: [loraB],
        },
      ];
    },
  );
  await writeSafetensors(join(dir, WEIGHTS), tensors);
  await writeJsonAtomic(join(dir, CONFIG), {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: rank,
    target_modules: ['q_proj'],
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
  });
}

const configSchema = z.looseObject({
  peft_type: z.string(),
  r: z.int().min(1),
  lora_alpha: z.number(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  fan_in_fan_out: z.boolean().nullish(),
  bias: z.string().nullish(),
  rank_pattern: z.record(z.string(), z.number()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});

/**
 * By our names, with the scale of the adapter in its factors.
 * @throws model-unsupported where it moves other weights than W_q, or not as a plain LoRA;
 *   model-damaged
 */
export async function readPeft(dir: string): Promise<Record<string, LowRankDelta>> {
  const where = join(dir, CONFIG);
  const config = checked(configSchema, await readJson(where, CONFIG_BYTES_MAX), where);
  const kind = config.use_dora ? 'DoRA' : config.peft_type;
  if (kind !== 'LORA')
    throw unsupported(where, `an adapter of the kind ${kind} is not implemented`);
  for (const key of ['rank_pattern', 'alpha_pattern', 'fan_in_fan_out'] as const) {
    const isUsed = config[key] === true || Object.keys(config[key] || {}).length > 0;
    if (isUsed) throw unsupported(where, `${key} is not implemented`);
  }
  const { tensors } = await readSafetensors(join(dir, WEIGHTS));
  const found: Record<string, { loraA?: Matrix; loraB?: Matrix }> = {};
  const others: string[] = [];
  for (const [name, stored] of tensors) {
    const [, layer, factor] = OURS.exec(name) ?? [];
    if (layer === undefined) others.push(name.replace(/^base_model\.model\./, ''));
    else {
      const data = Float32Array.from(await readTensor(stored));
      found[`layers.${layer}.qProj`] ??= {};
      const own = found[`layers.${layer}.qProj`] as { loraA?: Matrix; loraB?: Matrix };
      own[factor === 'A' ? 'loraA' : 'loraB'] = { shape: stored.shape, data };
    }
  }
  refuseOthers(dir, others);
  const scale = config.lora_alpha / (config.use_rslora ? Math.sqrt(config.r) : config.r);
  return Object.fromEntries(
    Object.entries(found).map(([name, { loraA, loraB }]) => [
      name,
      product(loraA, loraB, { path: dir, name, scale }),
    ]),
  );
}

const OURS =
  /^base_model\.model\.(?:model\.)?layers\.(\d+)\.self_attn\.q_proj\.lora_([AB])(?:\.default)?\.weight$/;

export interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** @throws model-damaged where the two do not fit each other */
export function product(
  a: Matrix | undefined,
  b: Matrix | undefined,
  { path, name, scale }: { readonly path: string; readonly name: string; readonly scale: number },
): LowRankDelta {
  const [rank, width = 0] = a?.shape ?? [];
  const [out = 0, own] = b?.shape ?? [];
  if (a?.shape.length !== 2 || b?.shape.length !== 2 || rank !== own) {
    throw damaged(path, name, `its factors are (${a?.shape}) and (${b?.shape})`);
  }
  return { shape: [out, width], loraA: a.data, loraB: b.data.map((value) => value * scale) };
}
