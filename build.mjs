// Before `npm start`: builds when a source is newer than what was built from it.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = ['src', 'web', 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
const NEEDED = ['dist/cli/main.js', 'dist/engine/process/child.js', 'dist-web/index.html'];
/** Written anew whenever something was built. */
const BUILT = ['dist/.tsbuildinfo', 'dist-web/index.html'];

/** Of a folder and all in it: one that lost a file has changed as well. */
function newest(path) {
  const { mtimeMs } = statSync(path);
  if (!statSync(path).isDirectory()) return mtimeMs;
  return Math.max(mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

// A package that was installed is built.
if (!existsSync('src')) process.exit(0);
const isThere = [...NEEDED, ...BUILT].every((path) => existsSync(path));
const builtAt = isThere ? Math.min(...BUILT.map((path) => statSync(path).mtimeMs)) : 0;
if (Math.max(...SOURCES.map(newest)) > builtAt) {
  const { status } = spawnSync('npm', ['run', 'build'], { stdio: 'inherit', shell: true });
  process.exit(status ?? 1);
}
