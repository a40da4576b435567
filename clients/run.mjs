// Runs the clients of other people against a daemon that it starts, and prints a table of rows.
// npm run test:clients -- [--model MODEL] [--only CLIENT,…] [--suite [--upstream]]
// --suite: openai-python's own tests instead; with --upstream also through a second daemon, before
// which the first one is the server that speaks. Exit 1: something is not as it should be.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { writeCallingModel } from './calling-model.mjs';
import { INSTALLATION, startDaemon } from './daemon.mjs';
import { line, outcomes } from './row.mjs';

const COMPANION = join(INSTALLATION, 'models', 'companion');
const HERE = import.meta.dirname;
const CLIENTS = [
  'openai',
  'ai-sdk',
  'langchain',
  'llama-index',
  'ollama',
  'continue',
  'promptfoo',
  'requests',
];

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: COMPANION },
    only: { type: 'string' },
    suite: { type: 'boolean', default: false },
    upstream: { type: 'boolean', default: false },
  },
});
const only = values.only?.split(',');
const isWanted = (name) => only === undefined || only.includes(name);

/** The interpreter of an environment with the exact versions. @throws when it cannot be made */
function python() {
  const folder = join(HERE, '.venv');
  const run = (command, ...options) => {
    const done = spawnSync(command, options, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (done.status !== 0) throw new Error(`${command} ${options.join(' ')}: ${done.status}`);
  };
  const interpreter = join(folder, 'bin', 'python');
  if (!existsSync(interpreter)) run('python3', '-m', 'venv', folder);
  run(interpreter, '-m', 'pip', 'install', '-q', '-r', join(HERE, 'python', 'requirements.txt'));
  return interpreter;
}

async function* pythonRows({ url, callingUrl }) {
  const script = join(HERE, 'python', 'rows.py');
  const child = spawn(python(), [script, url, callingUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((done) => child.once('exit', done));
  for await (const text of createInterface({ input: child.stdout })) {
    if (text.startsWith('{"client"')) yield JSON.parse(text);
  }
  const code = await ended;
  if (code === 0) return;
  yield { client: 'Python', row: 'rows.py', result: 'failed', detail: `ended with ${code}` };
}

/** Every package of ours has the version that was installed. */
function versionOf(name) {
  const { dependencies } = JSON.parse(readFileSync(join(HERE, 'package.json'), 'utf8'));
  return dependencies[name];
}

async function* allRows(connection) {
  for (const name of CLIENTS.filter(isWanted)) {
    const { rows, label = name } = await import(`./rows/${name}.mjs`);
    const version = versionOf(label);
    yield* await outcomes(version === undefined ? label : `${label} ${version}`, rows(connection));
  }
  if (isWanted('python')) yield* pythonRows(connection);
}

/** @returns the exit code, and what came of each test; empty: it passes */
async function suite(url) {
  const folder = mkdtempSync(join(tmpdir(), 'attune-suite-'));
  try {
    const file = join(folder, 'each.json');
    const script = join(HERE, 'python', 'suite.py');
    const child = spawn(python(), [script, url, file], { stdio: ['ignore', 'inherit', 'inherit'] });
    const code = await new Promise((done) => child.once('exit', done));
    return { code, each: existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {} };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the exit code */
async function runSuite() {
  const daemons = [await startDaemon(values.model)];
  try {
    const [{ url }] = daemons;
    const direct = await suite(url);
    if (!values.upstream) return direct.code;
    const settings = Object.entries({ kind: 'openai', url, model: 'attune' });
    const more = settings.map(([name, value]) => `engine.upstream.${name}=${value}`);
    daemons.unshift(await startDaemon(values.model, more));
    const passed = await suite(daemons[0].url);
    const names = [...new Set([direct, passed].flatMap(({ each }) => Object.keys(each)))];
    const other = names.filter((name) => direct.each[name] !== passed.each[name]);
    for (const name of other) {
      console.log(`${name}\n  direct:  ${direct.each[name]}\n  through: ${passed.each[name]}`);
    }
    console.log(`\n${names.length} tests, ${other.length} with another result through Attune`);
    return Math.max(direct.code, passed.code, other.length > 0 || names.length === 0 ? 1 : 0);
  } finally {
    for (const { end } of daemons) await end();
  }
}

/** @returns the exit code */
async function runRows() {
  const folder = mkdtempSync(join(tmpdir(), 'attune-calling-'));
  const daemons = [];
  let failed = 0;
  let count = 0;
  try {
    daemons.push(await startDaemon(values.model));
    daemons.push(await startDaemon(writeCallingModel(folder, COMPANION)));
    const [{ url }, { url: callingUrl }] = daemons;
    console.log('| client | row | result | |\n|---|---|---|---|');
    for await (const row of allRows({ url, callingUrl })) {
      console.log(line(row));
      count += 1;
      failed += row.result === 'failed' ? 1 : 0;
    }
  } finally {
    for (const { end } of daemons) await end();
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`\n${count} rows, ${failed} failed`);
  return failed === 0 && count > 0 ? 0 : 1;
}

process.exitCode = values.suite ? await runSuite() : await runRows();
