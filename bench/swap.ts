// `npm run bench:swap`: a hundred swaps while replies stream, through the engine's own process:
// what is lost, repeated or changed, and how long a stream stands still.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { DecodedToken, Engine, GenerateResult, VersionSource } from '../src/engine/engine.ts';
import { openEngineProcess } from '../src/engine/process/client.ts';
import { forkEngine } from '../src/engine/process/fork.ts';
import { writeDelta } from '../src/model/delta.ts';
import { readModel } from '../src/model/model.ts';
import { versionId } from '../src/model/versions.ts';
import { isQProj } from '../src/model/weight-names.ts';
import { GREEDY } from '../src/protocol/sampling.ts';
import { type Probe, runProbe } from '../src/swap/probe.ts';
import { describeMachine, median, quantile } from './machine.ts';
import { benchIds } from './serve.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    swaps: { type: 'string', default: '100' },
    streams: { type: 'string', default: '4,64' },
  },
});
const ENGINE_ENTRY = resolve('dist', 'engine', 'process', 'child.js');
const CONTEXT = 128;
const REPLY = 160;
const SAMPLING = { ...GREEDY, seed: 1 };
/** As many as a night writes. */
const PROBE_SEQUENCES = 4;
/** An engine prepares what a probe needs when it was idle for three seconds. */
const IDLE_MS = 5_000;
const say = (line: string): void => console.log(line);

/** Deltas of zeros: other versions, other arrays, the same weights; so every reply must be the same. */
async function zeroVersions(root: string, modelDir: string): Promise<VersionSource[]> {
  const model = await readModel(modelDir, { cacheDir: join(root, 'cache') });
  const names = [...model.weights.keys()].filter(isQProj);
  const versions: VersionSource[] = [{ id: versionId(model.baseHash, []), deltas: [] }];
  for (const left of names.slice(0, 2)) {
    const tensors = Object.fromEntries(
      names
        .filter((name) => name !== left)
        .map((name) => {
          const shape = model.weights.get(name)?.shape ?? [];
          const size = shape.reduce((a, b) => a * b, 1);
          return [name, { shape, data: new Float32Array(size) }];
        }),
    );
    const path = join(root, `${left}.safetensors`);
    const hash = await writeDelta(path, { baseHash: model.baseHash, tensors });
    versions.push({ id: versionId(model.baseHash, [hash]), deltas: [path] });
  }
  return versions;
}

interface Stream {
  /** When each token came, in one list over all replies of the stream; a new reply parts with NaN. */
  readonly times: number[];
  readonly faults: string[];
  replies: number;
  tokens: number;
}

const prompt = (stream: number, vocabularySize: number): number[] =>
  benchIds(CONTEXT, vocabularySize).map((id) => 3 + ((id + stream * 31) % (vocabularySize - 3)));

/** Says what is wrong with a reply: tokens out of order, missing, twice, or of another version. */
function faultsOf(reply: GenerateResult, seen: readonly DecodedToken[], wanted: readonly number[]) {
  const faults: string[] = [];
  if (seen.map(({ id }) => id).join() !== reply.ids.join())
    faults.push('streamed otherwise than returned');
  if (reply.ids.join() !== wanted.join()) faults.push('not the reply without a swap');
  let at = 0;
  for (const [from, to, version] of reply.versionRuns) {
    if (from !== at) faults.push('a gap in the versions');
    if (seen.slice(from, to).some((token) => token.version !== version))
      faults.push('version of a token');
    at = to;
  }
  if (at !== reply.ids.length) faults.push('versions end early');
  return faults;
}

async function stream(
  engine: Engine,
  ids: readonly number[],
  { wanted, isOver, own }: { wanted: readonly number[]; isOver: () => boolean; own: Stream },
): Promise<void> {
  while (!isOver()) {
    const seen: DecodedToken[] = [];
    own.times.push(Number.NaN);
    const request = { ids, replyTokensMax: REPLY, sampling: SAMPLING, stopIds: [] };
    const reply = await engine.generate(request, (token) => {
      seen.push(token);
      own.times.push(performance.now());
    });
    own.replies += 1;
    own.tokens += reply.ids.length;
    own.faults.push(...faultsOf(reply, seen, wanted));
  }
}

/** The longest wait for a token of a reply of any stream that overlaps `[from, to]`, ms. */
function longestWait(streams: readonly Stream[], from: number, to: number): number {
  let longest = 0;
  for (const { times } of streams) {
    for (let i = 1; i < times.length; i += 1) {
      const [a, b] = [times[i - 1] as number, times[i] as number];
      if (b >= from && a <= to) longest = Math.max(longest, b - a);
    }
  }
  return longest;
}

/** What swaps under a number of streams came to. Times in ms. */
interface Found {
  readonly replies: number;
  readonly tokens: number;
  readonly faults: readonly string[];
  /** From one token of a reply to the next. */
  readonly tokenMs: number;
  /** The longest wait for a token during each swap, and in times as long without one. */
  readonly waits: readonly number[];
  readonly calm: readonly number[];
  readonly switchMs: readonly number[];
  readonly wholeMs: readonly number[];
}

interface Window {
  readonly from: number;
  readonly to: number;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** What a swap scores, as a night leaves it: here it knows the answers of the very same weights. */
async function probeOf(engine: Engine, prompts: readonly number[][]): Promise<Probe> {
  const sequences = prompts.slice(0, PROBE_SEQUENCES).map((ids) => ({ ids, from: CONTEXT - 32 }));
  const scores = await engine.score({ sequences });
  return {
    schema: 1,
    version: 'any',
    toleranceNats: 2e-3,
    sequences: sequences.map((one, i) => ({ ...one, logprobs: [...(scores[i] ?? [])] })),
  };
}

/** An engine under a number of streams, ready to be swapped. */
interface Case {
  readonly engine: Engine;
  readonly versions: readonly VersionSource[];
  readonly prompts: readonly number[][];
  /** The replies without a swap. */
  readonly wanted: readonly GenerateResult[];
  readonly probe: Probe;
}

async function openCase(root: string, streams: number): Promise<Case> {
  const modelDir = resolve(options.model);
  const versions = await zeroVersions(root, modelDir);
  const settings = {
    modelDir,
    cacheDir: join(root, 'cache'),
    device: 'cpu' as const,
    threads: 0,
    windowTokens: 0,
    cacheBytesMax: 2 ** 30,
    batchMax: 64,
    prefillChunkTokens: 256,
  };
  const engine = await openEngineProcess(settings, forkEngine(ENGINE_ENTRY));
  const { vocabularySize } = await engine.describe();
  const prompts = Array.from({ length: streams }, (_, i) => prompt(i, vocabularySize));
  const request = { replyTokensMax: REPLY, sampling: SAMPLING, stopIds: [] };
  const wanted = await Promise.all(
    prompts.map((ids) => engine.generate({ ...request, ids }, () => undefined)),
  );
  // As after the start of a daemon: what it prepares while nobody speaks is prepared.
  await pause(IDLE_MS);
  return { engine, versions, prompts, wanted, probe: await probeOf(engine, prompts) };
}

/** Swaps, and between any two as long a time without one, while all streams go on. */
async function benchSwaps(
  { engine, versions, prompts, wanted, probe }: Case,
  wantedSwaps: number,
): Promise<Found> {
  const streams: Stream[] = prompts.map(() => ({ times: [], faults: [], replies: 0, tokens: 0 }));
  let isOver = false;
  const running = prompts.map((ids, i) =>
    stream(engine, ids, {
      wanted: wanted[i]?.ids ?? [],
      isOver: () => isOver,
      own: streams[i] as Stream,
    }),
  );
  await pause(1500);
  const swaps: (Window & { stallMs: number })[] = [];
  const calm: Window[] = [];
  for (let i = 1; i <= wantedSwaps; i += 1) {
    const target = versions[i % versions.length] as VersionSource;
    const from = performance.now();
    await engine.loadVersion(target);
    const probed = await runProbe(engine, probe, target.id);
    if (probed?.passes === false) streams[0]?.faults.push('the probe differs');
    const { stallMs } = await engine.switchVersion(target.id);
    const to = performance.now();
    swaps.push({ from, to, stallMs });
    await pause(60);
    const quiet = performance.now();
    await pause(to - from);
    calm.push({ from: quiet, to: performance.now() });
    await pause(60);
  }
  isOver = true;
  await Promise.all(running);
  return summarize(streams, swaps, calm);
}

function summarize(
  streams: readonly Stream[],
  swaps: readonly (Window & { stallMs: number })[],
  calm: readonly Window[],
): Found {
  const gaps = streams.flatMap(({ times }) =>
    times.slice(1).flatMap((time, i) => {
      const gap = time - (times[i] as number);
      return Number.isNaN(gap) ? [] : [gap];
    }),
  );
  const sum = (of: (one: Stream) => number): number =>
    streams.reduce((total, one) => total + of(one), 0);
  return {
    replies: sum((one) => one.replies),
    tokens: sum((one) => one.tokens),
    faults: streams.flatMap(({ faults }) => faults),
    tokenMs: median(gaps),
    waits: swaps.map(({ from, to }) => longestWait(streams, from, to)),
    calm: calm.map(({ from, to }) => longestWait(streams, from, to)),
    switchMs: swaps.map(({ stallMs }) => stallMs),
    wholeMs: swaps.map(({ from, to }) => to - from),
  };
}

const spread = (values: readonly number[]): string =>
  [0.5, 0.9, 0.99, 1].map((share) => quantile(values, share).toFixed(1)).join(' / ');

function swapLine(streams: number, { replies, tokens, faults, tokenMs, ...times }: Found): string {
  const { waits, calm, switchMs, wholeMs } = times;
  const added = (share: number): number => quantile(waits, share) - quantile(calm, share);
  const inTokens = (added(0.99) / tokenMs).toFixed(1);
  return [
    `${streams} streams, ${waits.length} swaps: ${faults.length} faults in ` +
      `${tokens} tokens of ${replies} replies` +
      `${faults.length > 0 ? ` (${[...new Set(faults)].join(', ')})` : ''}`,
    `  a token every ${tokenMs.toFixed(1)} ms; p50 / p90 / p99 / most, ms:`,
    `  longest wait at a swap     ${spread(waits)}   (the first: ${waits[0]?.toFixed(1)})`,
    `  as long a time without one ${spread(calm)}`,
    `  whole swap                 ${spread(wholeMs)}`,
    `  the switch itself          ${spread(switchMs)}`,
    `  added by a swap: p50 ${added(0.5).toFixed(1)} ms, p99 ${added(0.99).toFixed(1)} ms ` +
      `= ${inTokens} token times`,
  ].join('\n');
}

async function benchCase(root: string, streams: number): Promise<void> {
  const opened = await openCase(root, streams);
  say(swapLine(streams, await benchSwaps(opened, Number(options.swaps))));
  await opened.engine.close();
}

const root = await mkdtemp(join(tmpdir(), 'attune-bench-swap-'));
const { cpu, threads, load } = describeMachine();
say(`${resolve(options.model)}; ${cpu}, ${threads} threads, load ${load.toFixed(1)}`);
try {
  for (const count of options.streams.split(',').map(Number)) await benchCase(root, count);
} finally {
  await rm(root, { recursive: true });
}
