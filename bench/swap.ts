// A hundred swaps while replies stream, through the engine's own process: what is lost, repeated or
// changed, and how long a stream stands still. With --night also the time to the
// first token while a night trains.

//   node node_modules/.cache/bench/bench/swap.js [--model DIR] [--night]
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
import { describeMachine, median } from './machine.ts';
import { benchNight } from './night-latency.ts';
import { benchIds } from './serve.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    swaps: { type: 'string', default: '100' },
    streams: { type: 'string', default: '4,64' },
    night: { type: 'boolean', default: false },
  },
});
const ENGINE_ENTRY = resolve('dist', 'engine', 'process', 'child.js');
const CONTEXT = 128;
const REPLY = 160;
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const say = (line: string): void => console.log(line);

const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

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
  if (seen.map(({ id }) => id).join() !== reply.ids.join()) faults.push('told otherwise than kept');
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
    const request = { ids, replyTokensMax: REPLY, sampling: GREEDY, stopIds: [] };
    const reply = await engine.generate(request, (token) => {
      seen.push(token);
      own.times.push(performance.now());
    });
    own.replies += 1;
    own.tokens += reply.ids.length;
    own.faults.push(...faultsOf(reply, seen, wanted));
  }
}

/** The longest wait for a token of any stream that overlaps `[from, to]`, ms. */
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

async function benchSwaps(
  engine: Engine,
  versions: readonly VersionSource[],
  { count, vocabularySize }: { count: number; vocabularySize: number },
) {
  const prompts = Array.from({ length: count }, (_, i) => prompt(i, vocabularySize));
  const request = { replyTokensMax: REPLY, sampling: GREEDY, stopIds: [] };
  const wanted = await Promise.all(
    prompts.map((ids) => engine.generate({ ...request, ids }, () => undefined)),
  );
  const streams: Stream[] = prompts.map(() => ({ times: [], faults: [], replies: 0, tokens: 0 }));
  let isOver = false;
  const running = prompts.map((ids, i) =>
    stream(engine, ids, {
      wanted: wanted[i]?.ids ?? [],
      isOver: () => isOver,
      own: streams[i] as Stream,
    }),
  );
  const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
  await pause(1500);
  const calmFrom = performance.now();
  await pause(1500);
  const calmTo = performance.now();
  const swaps: { from: number; to: number; stallMs: number; inFlight: number }[] = [];
  for (let i = 1; i <= Number(options.swaps); i += 1) {
    const target = versions[i % versions.length] as VersionSource;
    const from = performance.now();
    await engine.loadVersion(target);
    // The probe of a real swap: a few sequences under the new weights.
    const ids = prompts[0] ?? [];
    await engine.score({ sequences: [{ ids, from: CONTEXT - 32 }], version: target.id });
    const { stallMs, repliesInFlight } = await engine.switchVersion(target.id);
    swaps.push({ from, to: performance.now(), stallMs, inFlight: repliesInFlight });
    await pause(120);
  }
  isOver = true;
  await Promise.all(running);
  return told({ streams, swaps, calmFrom, calmTo });
}

interface Watched {
  readonly streams: readonly Stream[];
  readonly swaps: readonly { from: number; to: number; stallMs: number; inFlight: number }[];
  readonly calmFrom: number;
  readonly calmTo: number;
}

function told({ streams, swaps, calmFrom, calmTo }: Watched) {
  const gaps = streams.flatMap(({ times }) =>
    times.slice(1).flatMap((time, i) => {
      const before = times[i] as number;
      return before >= calmFrom && time <= calmTo ? [time - before] : [];
    }),
  );
  const tokenMs = median(gaps);
  // As many windows as there were swaps, as long, while nothing was swapped.
  const length = median(swaps.map(({ from, to }) => to - from));
  const calm = swaps.map((_, i) => {
    const at = calmFrom + ((calmTo - calmFrom - length) * i) / swaps.length;
    return longestWait(streams, at, at + length);
  });
  const waits = swaps.map(({ from, to }) => longestWait(streams, from, to));
  const sum = (of: (one: Stream) => number): number =>
    streams.reduce((total, one) => total + of(one), 0);
  return {
    streams: streams.length,
    swaps: swaps.length,
    replies: sum((one) => one.replies),
    tokens: sum((one) => one.tokens),
    faults: streams.flatMap(({ faults }) => faults),
    inFlight: median(swaps.map((swap) => swap.inFlight)),
    tokenMs,
    switchMs: {
      median: median(swaps.map((s) => s.stallMs)),
      max: quantile(
        swaps.map((s) => s.stallMs),
        1,
      ),
    },
    wholeSwapMs: {
      median: length,
      p99: quantile(
        swaps.map(({ from, to }) => to - from),
        0.99,
      ),
    },
    longestWaitMs: { median: median(waits), p99: quantile(waits, 0.99) },
    longestWaitWithoutMs: { median: median(calm), p99: quantile(calm, 0.99) },
  };
}

const root = await mkdtemp(join(tmpdir(), 'attune-bench-swap-'));
const { cpu, threads, load } = describeMachine();
say(`${resolve(options.model)}; ${cpu}, ${threads} threads, load ${load.toFixed(1)}`);
try {
  if (options.night) await benchNight(resolve(options.model), say);
  else {
    const modelDir = resolve(options.model);
    const versions = await zeroVersions(root, modelDir);
    for (const count of options.streams.split(',').map(Number)) {
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
      const found = await benchSwaps(engine, versions, { count, vocabularySize });
      await engine.close();
      const { p99 } = found.longestWaitMs;
      say(
        `${count} streams, ${found.swaps} swaps: ${found.faults.length} faults in ${found.tokens} tokens of ` +
          `${found.replies} replies; a token every ${found.tokenMs.toFixed(1)} ms; longest wait at a swap p99 ` +
          `${p99.toFixed(1)} ms, without ${found.longestWaitWithoutMs.p99.toFixed(1)} ms`,
      );
      say(JSON.stringify(found));
    }
  }
} finally {
  await rm(root, { recursive: true });
}
