// Feeds for decision tokens that run against a context's keys and values; shapes and masks only.
import type { HostTensor } from '../runtime/executor.ts';
import { bool, f32, i32 } from '../runtime/host-tensor.ts';
import type { Candidate } from '../scenario/example.ts';

/**
 * Candidates as one batch that shares a context of `past` tokens.
 * `ids`, `positions`, `targets` i32 (batch, length); `keyMask` bool (batch, past + length), true =
 * may be attended, the past first; `lossMask` (batch, length), 1 = counts.
 */
export function decisionFeeds(
  candidates: readonly Candidate[],
  past: number,
): Record<'ids' | 'positions' | 'targets' | 'keyMask' | 'lossMask', HostTensor> {
  const batch = candidates.length;
  const length = Math.max(...candidates.map((candidate) => candidate.ids.length));
  const shape = [batch, length];
  const ids = new Int32Array(batch * length);
  const positions = new Int32Array(batch * length);
  const targets = new Int32Array(batch * length);
  const lossMask = new Float32Array(batch * length);
  const keyMask = new Uint8Array(batch * (past + length));
  for (const [row, candidate] of candidates.entries()) {
    const at = row * length;
    ids.set(candidate.ids, at);
    targets.set(candidate.targets, at);
    lossMask.set(candidate.lossMask, at);
    for (let i = 0; i < length; i++) {
      positions[at + i] = past + Math.min(i, candidate.ids.length - 1);
    }
    const maskAt = row * (past + length);
    keyMask.fill(1, maskAt, maskAt + past + candidate.ids.length);
  }
  return {
    ids: i32(shape, ids),
    positions: i32(shape, positions),
    targets: i32(shape, targets),
    keyMask: bool([batch, past + length], keyMask),
    lossMask: f32(shape, lossMask),
  };
}
