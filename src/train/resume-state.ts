// A training's state on disk between two steps: weights, optimizer state, counters; one file.
import { z } from 'zod';
import { parsedJson } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import { readSafetensors, readTensor } from '../model/checkpoint/safetensors.ts';
import { writeSafetensors } from '../model/checkpoint/safetensors-writer.ts';
import type { HostTensor } from '../runtime/executor.ts';

const countersSchema = z.strictObject({
  schema: z.literal(2),
  /** Steps done. */
  step: z.int().min(0),
  tokens: z.int().min(0),
  seconds: z.number().min(0),
  /** Peak learning rate as it is now, once it was found. */
  rate: z.number().nullable(),
  /** Earlier releases wrote it; nobody reads it. */
  moved: z.number().optional(),
  /** What this state belongs to: base, settings, seed, examples, first weights. */
  identity: z.string(),
});

export type Counters = z.infer<typeof countersSchema>;

export interface ResumeState {
  readonly counters: Counters;
  /** `weight.<name>` (learnt matrices), `state.<name>`; f32. */
  readonly tensors: Readonly<Record<string, HostTensor>>;
}

/** Writes whole or not at all. */
export async function writeResumeState(
  path: string,
  state: ResumeState,
  ops: FileOps = systemFileOps,
): Promise<void> {
  const tensors = Object.entries(state.tensors).map(([name, { shape, data }]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    pieces: [data],
  }));
  await writeSafetensors(path, tensors, {
    metadata: { counters: JSON.stringify(state.counters) },
    ops,
  });
}

/** The state at `path`, if there is one. @throws checkpoint-damaged */
export async function findResumeState(
  path: string | undefined,
  identity: string,
  ops: FileOps = systemFileOps,
): Promise<ResumeState | undefined> {
  if (path === undefined || (await ops.stat(path)) === undefined) return undefined;
  return readResumeState(path, identity, ops);
}

/** @throws checkpoint-damaged; also when it belongs to another training */
async function readResumeState(path: string, identity: string, ops: FileOps): Promise<ResumeState> {
  const file = await readSafetensors(path, ops).catch((cause: unknown) => {
    throw damaged(path, 'it cannot be read', cause);
  });
  const parsed = countersSchema.safeParse(parsedJson(file.metadata.counters));
  if (!parsed.success) throw damaged(path, 'its counters do not fit');
  if (parsed.data.identity !== identity) {
    throw damaged(path, 'it belongs to another base, seed, set of examples or settings');
  }
  const tensors: Record<string, HostTensor> = {};
  for (const tensor of file.tensors.values()) {
    const data = (await readTensor(tensor, ops)) as Float32Array;
    tensors[tensor.name] = { dtype: 'f32', shape: tensor.shape, data };
  }
  return { counters: parsed.data, tensors };
}

function damaged(path: string, reason: string, cause?: unknown): AttuneError {
  const message = `${path}: ${reason}; delete it to begin this training again`;
  return new AttuneError('checkpoint-damaged', message, { path }, { cause });
}

/** The tensors of one part (`weight`, `state`) under their own names. */
export function partOf(
  { tensors }: ResumeState,
  part: 'weight' | 'state',
): Record<string, HostTensor> {
  const prefix = `${part}.`;
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
  );
}

/** The reverse of `partOf`. @param only names that are taken; all when absent */
export function asPart(
  part: 'weight' | 'state',
  tensors: Readonly<Record<string, HostTensor>>,
  only: readonly string[] = Object.keys(tensors),
): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => only.includes(name))
      .map(([name, tensor]) => [`${part}.${name}`, tensor]),
  );
}
