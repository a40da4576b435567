// Checks Attune on this machine's graphics card, in parts, each in a process of its own that may crash
// or be late: parity with the CPU, speed on a random model, one short night. Writes one JSON.
import { execFile, fork } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: 'gpu-check.json' },
    /** small: 2 million weights; large: 2.9 billion (12 GB of disk). */
    size: { type: 'string', default: existsSync('/dev/nvidiactl') ? 'large' : 'small' },
    minutes: { type: 'string', default: '8' },
    /** Device of the parts; cpu tries the script itself. */
    device: { type: 'string', default: 'webgpu' },
    part: { type: 'string' },
    folder: { type: 'string' },
  },
});

const SIZES = {
  small: { hidden: 128, inner: 384, layers: 4, heads: 4, kvHeads: 2, vocabulary: 4096 },
  large: { hidden: 3072, inner: 8192, layers: 28, heads: 24, kvHeads: 8, vocabulary: 32_000 },
};
const TINY = { ...SIZES.small, layers: 1, hidden: 64, inner: 128 };
const isLarge = options.size === 'large';
const LENGTHS = isLarge ? 600 : 40;
const CONTEXT = isLarge ? 1000 : 64;
const DECISION = isLarge ? 64 : 16;
const PROMPT = isLarge ? 512 : 32;
const REPLY = isLarge ? 128 : 16;
const STEPS = 10;
/** Of the matrices, and how many are multiplied. */
const [SIDE, PRODUCTS] = isLarge ? [4096, 8] : [128, 1];

const load = (name) => import(`../../dist/${name}.js`);

/** Numbers that look like those of a fresh model, one block over and over: drawing 3e9 takes minutes. */
async function writeModel(dir, { hidden, inner, layers, heads, kvHeads, vocabulary }) {
  const { createRandom } = await load('base/random');
  const { writeSafetensors } = await load('model/checkpoint/safetensors-writer');
  const block = createRandom('gpu-check').fillGaussian(new Float32Array(2 ** 21), 1);
  const scaled = new Map(
    [hidden, inner].map((size) => [size, block.map((x) => x / Math.sqrt(size))]),
  );
  const piecesOf = ([rows, columns]) => {
    if (columns === undefined) return [new Float32Array(rows).fill(1)];
    const source = scaled.get(columns);
    const pieces = [];
    for (let left = rows * columns; left > 0; left -= source.length) {
      pieces.push(source.subarray(0, Math.min(left, source.length)));
    }
    return pieces;
  };
  const kv = (hidden / heads) * kvHeads;
  const layer = (i) =>
    Object.entries({
      input_layernorm: [hidden],
      'self_attn.q_proj': [hidden, hidden],
      'self_attn.k_proj': [kv, hidden],
      'self_attn.v_proj': [kv, hidden],
      'self_attn.o_proj': [hidden, hidden],
      post_attention_layernorm: [hidden],
      'mlp.gate_proj': [inner, hidden],
      'mlp.up_proj': [inner, hidden],
      'mlp.down_proj': [hidden, inner],
    }).map(([name, shape]) => [`model.layers.${i}.${name}.weight`, shape]);
  const shapes = [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    ['model.norm.weight', [hidden]],
  ];
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...{ vocab_size: vocabulary, hidden_size: hidden, intermediate_size: inner },
    ...{ num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads },
    ...{ head_dim: hidden / heads, max_position_embeddings: 2048, rms_norm_eps: 1e-5 },
    ...{ rope_theta: 10_000, hidden_act: 'silu', attention_bias: false, mlp_bias: false },
    ...{ tie_word_embeddings: true, torch_dtype: 'float32', bos_token_id: 1, eos_token_id: 2 },
  };
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'config.json'), JSON.stringify(config));
  const tensors = shapes.map(([name, shape]) => ({
    name,
    dtype: 'F32',
    shape,
    pieces: piecesOf(shape),
  }));
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
}

const ids = (count, from, vocabulary) =>
  Array.from({ length: count }, (_, i) => 3 + ((from + i * 7919) % (vocabulary - 3)));

async function openEngine(folder, name, device) {
  const { createOnnxExecutor } = await load('runtime/onnx');
  const { createEngine } = await load('engine/in-process-engine');
  const executor = await createOnnxExecutor({ device });
  const cacheDir = join(folder, 'cache');
  const options = {
    modelDir: join(folder, name),
    cacheDir,
    cacheBytesMax: 2 ** 31,
    quantize: 'none',
  };
  return createEngine({ ...options, executor });
}

async function reply(engine, prompt, replyTokensMax, onToken = () => undefined) {
  const { GREEDY } = await load('protocol/sampling');
  const tokens = [];
  const request = { ids: prompt, replyTokensMax, sampling: { ...GREEDY, seed: 0 }, stopIds: [] };
  const start = performance.now();
  await engine.generate(request, (token) =>
    onToken(tokens.push({ ...token, at: performance.now() - start })),
  );
  return tokens;
}

/** Steps on one lesson; the KL and the gradient's norm of each. */
async function train(
  folder,
  name,
  device,
  { context, decision, steps, onStep = async () => undefined },
) {
  const { createOnnxExecutor } = await load('runtime/onnx');
  const { readModel } = await load('model/model');
  const { loadVersion } = await load('model/versions');
  const { isQProj } = await load('model/weight-names');
  const { createReader } = await load('reading/reader');
  const { toCandidate } = await load('scenario/example');
  const { Learner } = await load('train/learner');
  const { optimizerOf, parametersOf } = await load('train/plan');
  const { targetOf } = await load('train/target');
  const { uploadAll } = await load('runtime/host-tensor');
  const executor = await createOnnxExecutor({ device });
  const model = await readModel(join(folder, name), { cacheDir: join(folder, 'cache') });
  const { weights } = await loadVersion(model, []);
  const parameters = parametersOf(model, weights);
  const optimizer = optimizerOf({ optimizer: 'apollo', rank: 16 }, 1);
  const learner = await Learner.create({ model, executor, fed: isQProj, parameters, optimizer });
  const reader = createReader({ model, executor });
  const start = await uploadAll(executor, weights);
  const { vocabSize } = model.config;
  const before = ids(context, 1, vocabSize);
  const answer = toCandidate(before.at(-1), ids(decision - 1, 5, vocabSize));
  const told = await reader.prefill([...before, ...ids(8, 9, vocabSize)], start);
  const target = targetOf(await reader.logits(told, answer, start));
  told.release();
  const cache = await reader.prefill(before, start);
  await learner.begin(weights);
  const records = [];
  for (let step = 0; step < steps; step++) {
    const began = performance.now();
    const kl = await learner.learn(answer, cache, { id: 'check', target, weight: 1 });
    const learnt = performance.now();
    const { gradientNorm } = await learner.update(step, 0.003);
    records.push({
      kl,
      gradientNorm,
      stepMs: learnt - began,
      updateMs: performance.now() - learnt,
    });
    await onStep(step + 1);
  }
  return { records, parameters: model.parameters };
}

const relative = (a, b) => Math.abs(a / b - 1);

const PARTS = {
  async parity(folder, device) {
    await writeModel(join(folder, 'tiny'), TINY);
    const prompt = ids(1, 1, SIZES.small.vocabulary);
    const [theirs, ours] = [
      await reply(await openEngine(folder, 'tiny', 'cpu'), prompt, LENGTHS),
      await reply(await openEngine(folder, 'tiny', device), prompt, LENGTHS),
    ];
    const same = theirs.findIndex((token, i) => token.id !== ours[i]?.id);
    const until = same < 0 ? theirs.length : same;
    const apart = theirs
      .slice(0, until)
      .map(({ logprob }, i) => Math.abs(logprob - ours[i].logprob));
    const sizes = { context: 40, decision: 8, steps: STEPS };
    const cpu = (await train(folder, 'tiny', 'cpu', sizes)).records;
    const card = (await train(folder, 'tiny', device, sizes)).records;
    const firstGradientApart = relative(card[0].gradientNorm, cpu[0].gradientNorm);
    const lossApart = Math.max(...card.map(({ kl }, i) => relative(kl, cpu[i].kl)));
    const logprobApart = Math.max(...apart);
    const passes =
      until === LENGTHS && logprobApart < 1e-3 && firstGradientApart < 1e-4 && lossApart < 0.01;
    return {
      passes,
      lengths: LENGTHS,
      sameTokens: until,
      logprobApart,
      firstGradientApart,
      lossApart,
    };
  },

  /** Of this process and the card, while a training and a reply go on; megabytes. */
  async memory(folder, device) {
    const { graphicsCards } = await load('runtime/graphics-card');
    const megabytes = (bytes) => (bytes === undefined ? null : Math.round(bytes / 1e6));
    const [steps, tokens] = isLarge ? [200, 2000] : [20, 100];
    const seen = { steps: [], tokens: [] };
    const look = async (what, at, of) => {
      if (at % (of / 10) !== 0) return;
      globalThis.gc?.();
      const resident = megabytes(process.memoryUsage().rss);
      const [card] = await graphicsCards();
      const now = { at, process: resident, cardFree: megabytes(card?.freeBytes) };
      seen[what].push(now);
      process.stderr.write(`${what}: ${JSON.stringify(now)}\n`);
    };
    const onStep = (step) => look('steps', step, steps);
    await train(folder, 'tiny', device, { context: 40, decision: 8, steps, onStep });
    const engine = await openEngine(folder, 'tiny', device);
    const looks = [];
    await reply(engine, ids(1, 1, SIZES.small.vocabulary), tokens, (at) => {
      looks.push(look('tokens', at, tokens));
    });
    await Promise.all(looks);
    return seen;
  },

  async peak(_, device) {
    const { createOnnxExecutor } = await load('runtime/onnx');
    const { input, matMul, reduceSum } = await load('graph/operations');
    const { f32 } = await load('runtime/host-tensor');
    const executor = await createOnnxExecutor({ device });
    const side = SIDE;
    const x = input('x', 'f32', [side, side]);
    const chain = Array.from({ length: PRODUCTS }).reduce((y) => matMul(y, x), x);
    const program = await executor.compile({ sum: reduceSum(chain) });
    const value = await executor.upload(
      f32([side, side], new Float32Array(side * side).fill(1 / side)),
    );
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      const { sum } = await program.run({ x: value });
      await sum.read();
      if (i > 0) best = Math.min(best, performance.now() - start);
    }
    return { side, gigaflops: (2 * PRODUCTS * side ** 3) / best / 1e6 };
  },

  async decode(folder, device) {
    const engine = await openEngine(folder, 'model', device);
    const { parameters } = await engine.describe();
    const prompt = ids(PROMPT, 1, SIZES[options.size].vocabulary);
    await reply(engine, prompt.slice(0, 8), 2); // shaders
    const tokens = await reply(engine, prompt, REPLY);
    const [first, last] = [tokens[0].at, tokens.at(-1).at];
    const tokensPerSecond = ((tokens.length - 1) * 1000) / (last - first);
    return {
      ...{ parameters, prefillTokensPerSecond: (PROMPT * 1000) / first, tokensPerSecond },
      // Every weight is read once a token, 4 bytes each.
      gigabytesPerSecond: (parameters * 4 * tokensPerSecond) / 1e9,
    };
  },

  async training(folder, device) {
    const sizes = { context: CONTEXT, decision: DECISION, steps: 4 };
    const { records, parameters } = await train(folder, 'model', device, sizes);
    const stepMs = Math.min(...records.slice(1).map((record) => record.stepMs));
    const updateMs = Math.min(...records.slice(1).map((record) => record.updateMs));
    // Forward, and back to the activations; the gradient of W_q comes on top and is small.
    const flops = 4 * parameters * DECISION;
    return { ...sizes, stepMs, updateMs, gigaflops: flops / stepMs / 1e6, records };
  },

  /** The same in PyTorch, where `python3` (or PYTHON) has it. */
  async pytorch(_, device) {
    const given = {
      ...{ device, ...SIZES[options.size], side: SIDE, products: PRODUCTS },
      ...{ prompt: PROMPT, reply: REPLY, context: CONTEXT, decision: DECISION },
    };
    const script = fileURLToPath(new URL('./torch_side.py', import.meta.url));
    const args = [script, JSON.stringify(given)];
    const run = promisify(execFile)(process.env.PYTHON ?? 'python3', args, { timeout: 120_000 });
    const { stdout } = await run.catch(({ message, stderr, killed }) => {
      if (killed) throw new Error('PyTorch took more than two minutes');
      throw new Error(stderr?.trim().split('\n').at(-1) || message);
    });
    return JSON.parse(stdout);
  },

  async night(folder, device) {
    const { loadConfig } = await load('config/load');
    const { startDaemon } = await load('main');
    const { config } = await loadConfig({
      options: {
        store: { path: join(folder, 'store') },
        server: { port: 0 },
        engine: { device: 'cpu' },
        train: { device, epochsMax: 2, batchSize: 2, holdsPerStep: 1, warmupSteps: 0 },
        night: { dreamsMax: 0, isEnabled: false, stepsMax: isLarge ? 12 : 2 },
        dream: { rehearsalTalks: 0, echoes: 0 },
        measure: isLarge ? {} : { pairs: 2, heldReplies: 4, everydayTurns: 4, resamples: 200 },
        logger: { level: 'warn' },
      },
    });
    const daemon = await startDaemon(config);
    try {
      await flagTwo(daemon);
      const id = await daemon.nights.run();
      await daemon.nights.ended();
      const problems = await daemon.nights.problems();
      const { software, gate, delta } = await daemon.nights.ledger.read(id);
      return { problems, software, gate, delta };
    } finally {
      await daemon.close();
    }
  },
};

/** Two replies in which the direction was not carried out, as a person marks them. */
async function flagTwo({ url }) {
  const { LiveConversations } = await load('cli/conversation/demo');
  const address = { url, token: '' };
  const live = new LiveConversations(address);
  await live.connect();
  for (const [i, text] of ['Book the blue room.', 'Call Mira at nine.'].entries()) {
    const reply = await live.say(`talk-${i}`, `m-${i}`, text);
    const span = { start: 0, end: text.length, text };
    await live.flag({
      ...{ id: `flag-${i}`, conversationId: `talk-${i}`, replyId: reply.id },
      ...{ userSpan: { messageId: `m-${i}`, span }, betterWords: `I will do that: ${text}` },
    });
  }
  live.close();
}

/** One part in a process of its own. */
function runPart(part, folder, limitMs) {
  return new Promise((resolve) => {
    const began = performance.now();
    const args = [
      '--part',
      part,
      '--folder',
      folder,
      '--size',
      options.size,
      '--device',
      options.device,
    ];
    const child = fork(fileURLToPath(import.meta.url), args, { stdio: ['ignore', 2, 2, 'ipc'] });
    const end = (found) =>
      resolve({ seconds: Math.round(performance.now() - began) / 1000, ...found });
    let found;
    const timer = setTimeout(() => {
      found = { status: 'late', limitSeconds: limitMs / 1000 };
      child.kill('SIGKILL');
    }, limitMs);
    child.once('message', (message) => (found = message));
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      end(found ?? { status: 'crashed', reason: signal ?? `exit code ${code}` });
    });
  });
}

async function main() {
  const endsAt = performance.now() + Number(options.minutes) * 60_000;
  const folder = await mkdtemp(join(tmpdir(), 'attune-gpu-check-'));
  const { graphicsCards } = await load('runtime/graphics-card');
  const report = {
    schema: 1,
    at: new Date().toISOString(),
    ...{ node: process.version, platform: `${process.platform} ${process.arch}` },
    cpu: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} threads`,
    memoryBytes: totalmem(),
    cards: await graphicsCards(),
    vulkanDriver: process.env.VK_DRIVER_FILES ?? null,
    ...{ size: options.size, device: options.device },
    parts: {},
  };
  const save = () => writeFile(options.out, `${JSON.stringify(report, null, 2)}\n`);
  try {
    for (const part of Object.keys(PARTS)) {
      if (part === 'decode') await prepareModel(folder, report);
      const left = endsAt - performance.now();
      report.parts[part] =
        left < 5000
          ? { status: 'not run', reason: 'no time left' }
          : await runPart(part, folder, left);
      process.stdout.write(`${part}: ${JSON.stringify(report.parts[part])}\n`);
      await save();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  process.stdout.write(`Written to ${options.out}.\n`);
}

async function prepareModel(folder, report) {
  const began = performance.now();
  const { bavail, bsize } = statfsSync(folder);
  if (isLarge && bavail * bsize < 14e9)
    throw new Error(`${folder} has no room for 12 GB; set TMPDIR`);
  await writeModel(join(folder, 'model'), SIZES[options.size]);
  report.modelSeconds = (performance.now() - began) / 1000;
}

if (options.part === undefined) await main();
else {
  let found;
  try {
    found = { status: 'done', ...(await PARTS[options.part](options.folder, options.device)) };
  } catch (error) {
    found = { status: 'failed', code: error.code, reason: error.message };
  }
  // By hand: one part, into a folder where parity left its model.
  if (process.send === undefined) process.stdout.write(`${JSON.stringify(found)}\n`);
  else process.send(found, () => process.exit(0));
}
