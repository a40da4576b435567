// promptfoo, the program: an evaluation of two prompts, by chat and by completions.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check } from '../row.mjs';

const FOLDER = join(import.meta.dirname, '..', 'promptfoo');
const PROGRAM = join(FOLDER, 'node_modules', '.bin', 'promptfoo');

export function rows({ url }) {
  const config = { apiBaseUrl: `${url}/v1`, apiKey: 'none', max_tokens: 8, temperature: 0 };
  const evaluate = async (id) => {
    const folder = mkdtempSync(join(tmpdir(), 'attune-promptfoo-'));
    const out = join(folder, 'out.json');
    const given = {
      prompts: ['{{q}}'],
      providers: [{ id, config }],
      tests: ['Soup or salad?', 'Hello.'].map((q) => ({
        vars: { q },
        assert: [{ type: 'javascript', value: "typeof output === 'string'" }],
      })),
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(given));
    try {
      await run(['eval', '-c', join(folder, 'config.json'), '--no-cache', '-o', out], folder);
      const { stats } = JSON.parse(readFileSync(out, 'utf8')).results;
      return check(stats.successes === 2 && stats.errors === 0, stats).tokenUsage.total;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  if (!existsSync(PROGRAM)) return {};
  return {
    'eval of openai:chat': () => evaluate('openai:chat:attune'),
    'eval of openai:completion': () => evaluate('openai:completion:attune'),
    'eval of openai:responses': () => evaluate('openai:responses:attune'),
  };
}

/** @throws with what it said, unless it ends well */
function run(options, folder) {
  const env = {
    ...process.env,
    ...{ PROMPTFOO_CONFIG_DIR: folder, PROMPTFOO_DISABLE_TELEMETRY: '1' },
    ...{ PROMPTFOO_DISABLE_UPDATE: '1', PROMPTFOO_DISABLE_REMOTE_GENERATION: '1' },
  };
  return new Promise((done, fail) => {
    const child = spawn(PROGRAM, options, { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (piece) => {
        said = (said + piece).slice(-400);
      });
    }
    child.once('error', fail);
    child.once('exit', (code) => (code === 0 ? done() : fail(new Error(said))));
  });
}
