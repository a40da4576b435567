// The hot swap: verify the deltas, load them beside the current ones, probe, switch between two
// decode steps, move the pointer. Replies in flight go on; nothing is dropped.
import { join } from 'node:path';
import { readJsonBounded } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import type { Engine } from '../engine/engine.ts';
import type { Head } from '../ledger/head.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import { versionId } from '../model/versions.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { PROBE, type ProbeResult, probeSchema, runProbe } from './probe.ts';

export interface SwapParts {
  readonly engine: Engine;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** The server that speaks in place of the engine. */
  readonly upstream?: Pick<Upstream, 'bring'>;
}

export interface SwapTarget {
  /** Nights whose deltas shall be active, in order; none is the base model. */
  readonly nights: readonly NightId[];
  /** What becomes of nights by this swap, with the reason; written with the pointer. */
  readonly statuses?: Head['nights'];
}

export interface SwapReport {
  readonly from: string;
  readonly to: string;
  readonly repliesInFlight: number;
  readonly stallMs: number;
  /** Null where the target has no probe of its own (the base, a revert in the middle). */
  readonly probe: ProbeResult | null;
  /** How an upstream server serves it; absent: none speaks. */
  readonly upstream?: string | undefined;
  readonly at: string;
}

/**
 * The version that a list of nights makes, and where its deltas lie, as the ledger has sealed them.
 * @throws swap-refused when one was changed, night-unknown
 */
export async function loadableVersion(
  ledger: Ledger,
  nights: readonly NightId[],
): Promise<{ id: string; deltas: string[] }> {
  const version = await versionOf(ledger, nights);
  for (const { path, sha256: expected, nights: own } of await ledger.deltaFiles(nights)) {
    const found = await sha256File(path, ledger.folder.ops).catch(() => 'none');
    if (found === expected) continue;
    const night = own.join(', ');
    const message = `The delta of ${night} was changed after its night. Run \`attune night verify\`.`;
    throw new AttuneError('swap-refused', message, { night, expected, found });
  }
  return version;
}

/** The version that a list of nights makes, and where its deltas should lie. */
export async function versionOf(
  ledger: Ledger,
  nights: readonly NightId[],
): Promise<{ id: string; deltas: string[] }> {
  const manifests = await Promise.all(nights.map((night) => ledger.read(night)));
  const hashes = manifests.map((manifest) => deltaOf(manifest).hash);
  const files = await ledger.deltaFiles(nights);
  return { id: versionId(ledger.base, hashes), deltas: files.map(({ path }) => path) };
}

/**
 * Brings other weights into the running chat model. Until the switch itself anything that fails
 * leaves the chat as it was; when the pointer cannot be written the engine goes back.
 * @throws swap-refused (a changed delta, a probe that differs), night-unknown, engine-failed
 */
export async function swapTo(parts: SwapParts, target: SwapTarget): Promise<SwapReport> {
  const { engine, ledger, clock, upstream } = parts;
  const { id: to, deltas } = await loadableVersion(ledger, target.nights);
  const before = ledger.head();
  const { version: from } = await engine.describe();
  await engine.loadVersion({ id: to, deltas });
  const probe = await probeTarget(parts, target.nights, to);
  const brought = await upstream?.bring({ id: to, deltas });
  const { repliesInFlight, stallMs } = await engine.switchVersion(to);
  try {
    await ledger.setHead({
      inForce: [...target.nights],
      ...(target.statuses === undefined ? {} : { nights: target.statuses }),
    });
  } catch (cause) {
    await brought?.drop();
    const earlier = await versionOf(ledger, before.inForce);
    await engine.loadVersion(earlier);
    await engine.switchVersion(earlier.id);
    const message =
      'The swap was undone: which weights are active could not be written to the disk.';
    throw new AttuneError('swap-refused', message, { from, to }, { cause });
  }
  brought?.use();
  const at = new Date(clock.now()).toISOString();
  const receipt = brought && { upstream: brought.receipt };
  return { from, to, repliesInFlight, stallMs, probe, ...receipt, at };
}

function deltaOf(manifest: Manifest): NonNullable<Manifest['delta']> {
  if (manifest.delta !== null) return manifest.delta;
  const message = `${manifest.night} made no delta; there is nothing to swap in.`;
  throw new AttuneError('swap-refused', message, { night: manifest.night });
}

/** The last night's probe holds for its own deltas on top of those it started from, only. */
async function probeTarget(
  { engine, ledger }: SwapParts,
  nights: readonly NightId[],
  version: string,
): Promise<ProbeResult | null> {
  const last = nights.at(-1);
  if (last === undefined) return null;
  const { path, ops } = ledger.folderOf(last);
  const probe = await readJsonBounded(join(path, PROBE), probeSchema, { ops });
  if (probe === undefined || probe.version !== version) return null;
  const result = await runProbe(engine, probe, version);
  if (result === null || result.passes) return result;
  const message =
    `The engine does not run the weights of ${last} as the night did: log-probabilities differ by ` +
    `${result.worstNats} nats (at most ${probe.toleranceNats}). The chat keeps its weights.`;
  throw new AttuneError('swap-refused', message, {
    night: last,
    worstNats: result.worstNats,
    toleranceNats: probe.toleranceNats,
  });
}
