// `node …/bench/tokenizer.js [--tokens N]`: the time to build a large tokenizer, both formats.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { createRandom } from '../src/base/random.ts';
import { readGgufFile } from '../src/gguf/gguf-file.ts';
import { createTextEncoder } from '../src/tokenizer/encoder.ts';
import { tokenizerFilesOf } from '../src/tokenizer/gguf-tokenizer.ts';
import { createTokenBytes } from '../src/tokenizer/token-bytes.ts';
import { readTokenizerFiles } from '../src/tokenizer/tokenizer-file.ts';
import { openTokenizerWorker } from '../src/tokenizer/tokenizer-worker.ts';
import { ggufBytes } from '../test/gguf/gguf-bytes.ts';

const { values } = parseArgs({ options: { tokens: { type: 'string', default: '150000' } } });
const TOKENS = Number(values.tokens);
/** Most tokens of a vocabulary are words of up to so many bytes. */
const LENGTH_MAX = 12;

/** A byte-level BPE of random merges, as many as it has tokens beyond the bytes. */
function randomBpe(): { tokens: string[]; merges: [string, string][] } {
  const random = createRandom('bpe');
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  const tokens = Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
  const known = new Set(tokens);
  const merges: [string, string][] = [];
  while (tokens.length < TOKENS) {
    const left = tokens[random.int(tokens.length)] as string;
    const right = tokens[random.int(tokens.length)] as string;
    const token = left + right;
    if (token.length > LENGTH_MAX || known.has(token)) continue;
    known.add(token);
    tokens.push(token);
    merges.push([left, right]);
  }
  return { tokens, merges };
}

const BYTES = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

async function writeBoth(folder: string): Promise<void> {
  const { tokens, merges } = randomBpe();
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const definition = {
    ...{ added_tokens: [], normalizer: null, pre_tokenizer: BYTES, post_processor: null },
    decoder: BYTES,
    model: { type: 'BPE', vocab, merges },
  };
  const metadata = {
    'general.architecture': 'llama',
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.merges': merges.map((pair) => pair.join(' ')),
  };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition));
  await writeFile(join(folder, 'model.gguf'), ggufBytes({ metadata }));
}

async function timed<T>(label: string, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  const before = process.cpuUsage();
  const result = await work();
  const wall = Math.round(performance.now() - start);
  const { user, system } = process.cpuUsage(before);
  const busy = Math.round((user + system) / 1000);
  console.log(`  ${label.padEnd(24)} ${String(wall).padStart(6)} ms, of CPU ${busy} ms`);
  return result;
}

async function openedByDaemon(dir: string): Promise<void> {
  const open = () => openTokenizerWorker({ dir, clock: systemClock });
  const tokenizer = await timed('all of it, in a worker', open);
  await tokenizer.close();
}

const folder = join(tmpdir(), `attune-bench-tokenizer-${TOKENS}`);
if (!existsSync(join(folder, 'model.gguf'))) await writeBoth(folder);
console.log(`${TOKENS} tokens, and as many merges`);
console.log('tokenizer.json');
const json = await timed('read and check', () => readTokenizerFiles(folder));
await timed('bytes of the tokens', () => createTokenBytes(json));
await timed('encoder', () => createTextEncoder(json));
await openedByDaemon(folder);
console.log('GGUF');
const file = join(folder, 'model.gguf');
const head = await timed('read the head', () => readGgufFile(file));
const gguf = await timed('as a tokenizer.json', () => tokenizerFilesOf(head));
await timed('bytes of the tokens', () => createTokenBytes(gguf));
await timed('encoder', () => createTextEncoder(gguf));
await openedByDaemon(file);
