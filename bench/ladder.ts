// The ladder: quantised models of growing size, with random weights, against node-llama-cpp in
// turns. `npm run bench:ladder -- --peers FOLDER [--sizes 0.3,1,3] [--formats Q4_0,Q4_K_M]
// [--gguf FILE] [--threads N] [--rounds N] [--steps]`; prints a table in Markdown. With --flat it
// prints our private memory over a day of 60 short replies and a night of 10 steps instead.
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { narrowFloat16 } from '../src/base/half-precision.ts';
import { createRandom } from '../src/base/random.ts';
import { idOf, typeOf } from '../src/gguf/block-type.ts';
import { parseConfig } from '../src/model/config.ts';
import { describeWeights } from '../src/model/weight-names.ts';
import { type Peer, SOURCES, startPeer } from './compare.ts';
import { type LlamaShape, type WrittenTensor, writeTensors } from './gguf.ts';
import { median } from './machine.ts';
import { benchIds, type Decoded } from './serve.ts';

/** Widths are multiples of 256, as K-quants want them. Llama, head and embedding tied. */
const SIZES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  '0.3': { hidden: 1024, inner: 4096, layers: 16, heads: 16, kvHeads: 4 },
  '1': { hidden: 2048, inner: 8192, layers: 16, heads: 32, kvHeads: 8 },
  '3': { hidden: 3072, inner: 8192, layers: 32, heads: 24, kvHeads: 8 },
};
const VOCABULARY = 32_000;
const WINDOW = 2048;
const CONTEXT = 1000;
const TOKENS = 25;

function shapeOf(size: string): LlamaShape {
  const { hidden, inner, layers, heads, kvHeads } = SIZES[size] ?? {};
  const config = parseConfig(
    {
      ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: VOCABULARY },
      ...{ hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers },
      ...{ num_attention_heads: heads, num_key_value_heads: kvHeads, rms_norm_eps: 1e-5 },
      ...{ rope_theta: 10_000, max_position_embeddings: WINDOW, tie_word_embeddings: true },
    },
    'ladder',
  );
  return { config, windowTokens: WINDOW };
}

/** As llama.cpp mixes them: the tied head has 6 bits, with `_M` half of W_v and W_down as well. */
function typeName(name: string, format: string): string {
  if (name === 'embedTokens') return 'Q6_K';
  const [, layer, part] = name.split('.');
  const isMore = /^(vProj|downProj)$/.test(part ?? '') && Number(layer) % 2 === 0;
  return format === 'Q4_K_M' ? (isMore ? 'Q6_K' : 'Q4_K') : format;
}

/** Places and sizes of the f16 numbers of a block, for values of about 0.02. */
const SCALES: Readonly<Record<string, readonly (readonly [at: number, value: number])[]>> = {
  Q4_0: [[0, 4e-3]],
  Q4_1: [
    [0, 4e-3],
    [2, -3.2e-2],
  ],
  Q8_0: [[0, 2.5e-4]],
  Q4_K: [
    [0, 1.3e-4],
    [2, 1e-3],
  ],
  Q6_K: [[208, 1.5e-5]],
};

const POOL_BLOCKS = 8192;

/** Random blocks, used again and again: their values matter to no time. */
function poolOf(name: string): Buffer {
  const { blockBytes = 0 } = typeOf(idOf(name)) ?? {};
  const random = createRandom(name);
  const pool = Buffer.from(
    Uint32Array.from({ length: (POOL_BLOCKS * blockBytes) / 4 }, () => random.uint32()).buffer,
  );
  for (const [at, value] of SCALES[name] ?? []) {
    const [half = 0] = narrowFloat16(Float32Array.of(value));
    for (let i = at; i < pool.length; i += blockBytes) pool.writeUInt16LE(half, i);
  }
  return pool;
}

async function writeModel(size: string, format: string, path: string): Promise<void> {
  const shape = shapeOf(size);
  const pools = new Map<string, Buffer>();
  const tensors = describeWeights(shape.config).map(({ name, shape: sizes }): WrittenTensor => {
    const elements = sizes.reduce((total, each) => total * each, 1);
    const type = sizes.length === 1 ? 'F32' : typeName(name, format);
    const { blockBytes = 4, blockElements = 1 } = typeOf(idOf(type)) ?? {};
    const length = (elements / blockElements) * blockBytes;
    return {
      ...{ name, shape: sizes, type: idOf(type), length },
      async *pieces() {
        if (type === 'F32') yield Buffer.from(new Float32Array(elements).fill(1).buffer);
        const pool = pools.get(type) ?? poolOf(type);
        pools.set(type, pool);
        for (let done = 0; type !== 'F32' && done < length; done += pool.length) {
          yield pool.subarray(0, Math.min(pool.length, length - done));
        }
      },
    };
  });
  await writeTensors(shape, tensors, path);
}

interface Side {
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly prefillCpuMs: number;
  readonly tokenMs: number;
  readonly tokenCpuMs: number;
  /** Proportional, after both. */
  readonly bytes: number;
}

function bytesOf({ pid }: Peer): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) * 1024;
}

type Start = () => Promise<Peer>;

/** Both sides in turns; each has one turn to get warm. */
async function measure(starts: readonly Start[], vocabulary: number): Promise<Side[]> {
  const sides: { peer: Peer; loadMs: number; turns: Decoded[] }[] = [];
  for (const start of starts) {
    const from = performance.now();
    sides.push({ peer: await start(), loadMs: performance.now() - from, turns: [] });
  }
  for (let round = 0; round <= Number(asked.rounds); round++) {
    // Other ids each time: no side reuses its cache.
    const ids = benchIds(CONTEXT + round, vocabulary).slice(round);
    for (const { peer, turns } of sides) turns.push(await peer.ask({ ids, tokens: TOKENS }));
  }
  return sides.map(({ peer, loadMs, turns }) => {
    const warm = turns.slice(1);
    const best = (of: (turn: Decoded) => number): number => Math.min(...warm.map(of));
    const bytes = bytesOf(peer);
    peer.close();
    return {
      ...{ loadMs, bytes },
      prefillMs: best(({ firstTokenMs }) => firstTokenMs),
      prefillCpuMs: best(({ prefillCpuMs }) => prefillCpuMs),
      tokenMs: best(({ tokenMs }) => median([...tokenMs])),
      tokenCpuMs: best(({ tokenCpuMs }) => tokenCpuMs),
    };
  });
}

function row(name: string, [ours, theirs]: readonly Side[], more = ''): string {
  const speed = (of: (side: Side) => number, unit: number): string => {
    const [a, b] = [ours, theirs].map((side) => (side === undefined ? Number.NaN : of(side)));
    const ratio = Number.isNaN(b) ? '' : ` (${((b as number) / (a as number)).toFixed(2)} ×)`;
    return (
      [a, b].map((ms) => (unit / (ms as number)).toFixed(unit > 1e5 ? 0 : 1)).join(' / ') + ratio
    );
  };
  const megabytes = [ours, theirs].map((side) => ((side?.bytes ?? Number.NaN) / 1e6).toFixed(0));
  const load = [ours, theirs].map((side) => ((side?.loadMs ?? Number.NaN) / 1000).toFixed(1));
  const cells = [
    ...[name, load.join(' / ')],
    speed(({ prefillMs }) => prefillMs, CONTEXT * 1000),
    speed(({ prefillCpuMs }) => prefillCpuMs, CONTEXT * 1000),
    speed(({ tokenMs }) => tokenMs, 1000),
    speed(({ tokenCpuMs }) => tokenCpuMs, 1000),
    `${megabytes.join(' / ')}${more}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

const { values: asked } = parseArgs({
  options: {
    peers: { type: 'string' },
    sizes: { type: 'string', default: '0.3,1' },
    formats: { type: 'string', default: 'Q4_0,Q4_K_M' },
    gguf: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    steps: { type: 'boolean', default: false },
    flat: { type: 'boolean', default: false },
  },
});
const say = (line: string): unknown => process.stdout.write(`${line}\n`);
const root = await mkdtemp(join(tmpdir(), 'attune-ladder-'));
const SIDE = fileURLToPath(new URL('./ladder-side.js', import.meta.url));

async function climb(name: string, path: string, vocabulary: number): Promise<void> {
  const cacheDir = join(root, 'cache');
  await mkdir(cacheDir, { recursive: true });
  const { peers, threads } = asked;
  const ours: Start = () => startPeer(process.execPath, [SIDE, path, cacheDir, threads]);
  // The first start lays the blocks out anew; it is not measured.
  (await ours()).close();
  if (asked.flat) {
    const peer = await ours();
    const { day, night } = await peer.ask<Record<'day' | 'night', number[]>>({ flat: [60, 10] });
    peer.close();
    say(`| ${name} | ${day.join(' ')} | ${night.join(' ')} |`);
    return;
  }
  const script = join(SOURCES, 'llama-cpp.mjs');
  const theirs: Start = () => startPeer(process.execPath, [script, peers ?? '', path, threads]);
  const sides = await measure(peers === undefined ? [ours] : [ours, theirs], vocabulary);
  let more = '';
  if (asked.steps) {
    const peer = await ours();
    const { stepMs } = await peer.ask<{ stepMs: number }>({ step: true });
    more = `; step ${(stepMs / 1000).toFixed(1)} s, ${(bytesOf(peer) / 1e6).toFixed(0)} MB with it`;
    peer.close();
  }
  say(row(name, sides, more));
  await rm(cacheDir, { recursive: true, force: true });
}

say(`load ${(loadavg()[0] as number).toFixed(1)}, ${asked.threads} threads; ours / node-llama-cpp`);
const HEADS = [
  'load s',
  'prefill tok/s',
  'by CPU time',
  'decode tok/s',
  'by CPU time',
  'memory MB',
];
const heads = ['model', ...(asked.flat ? ['day, MB', 'night, MB; closed'] : HEADS)];
say(`| ${heads.join(' | ')} |\n|${'---|'.repeat(heads.length)}`);
try {
  for (const path of asked.gguf) await climb(path.split('/').at(-1) ?? path, path, VOCABULARY);
  for (const size of asked.sizes.split(',').filter((each) => each in SIZES)) {
    for (const format of asked.formats.split(',')) {
      const path = join(root, `${size}B-${format}.gguf`);
      await writeModel(size, format, path);
      await climb(`${size} B, ${format}`, path, VOCABULARY);
      await rm(path);
    }
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
say(`load ${(loadavg()[0] as number).toFixed(1)}`);
