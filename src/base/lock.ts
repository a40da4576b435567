// One process per store: claims in a folder, each named after a process that can be asked for.
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { parsedJson, readTextBounded, writeJsonAtomic } from './atomic-file.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { AttuneError } from './errors.ts';
import { type FileOps, type Folder, systemCode, systemFileOps } from './file-ops.ts';

export interface Lock {
  /** Removes the claim. A killed process needs no release: its claim counts no longer. */
  release(): Promise<void>;
}

export interface LockOptions {
  readonly clock?: Clock;
  readonly ops?: FileOps;
  readonly platform?: NodeJS.Platform;
  /** Shown to whoever is refused, e.g. "attune start". */
  readonly purpose?: string;
}

const claimSchema = z.object({
  pid: z.int().positive(),
  /** When the process started, as the system says it; a pid that was given out again differs. */
  startedAt: z.string(),
  host: z.string(),
  /** Boot and pid namespace: only within them does a pid mean anything. */
  boot: z.string(),
  namespace: z.string(),
  purpose: z.string(),
});
type Claim = z.infer<typeof claimSchema>;

/** A claim from elsewhere (another container, another machine) is renewed this often … */
const RENEW_MS = 5_000;
/** … and counts as dead when it was not renewed for this long. */
const LEASE_MS = 30_000;
const TRIES = 3;
const CLAIM_SUFFIX = '.claim.json';

function readOr(read: () => string, otherwise: string): string {
  try {
    return read().trim();
  } catch {
    return otherwise;
  }
}

/**
 * When a process started, or undefined when there is none. Empty on Windows, which says no more
 * than that it is there.
 */
export function processStart(pid: number, platform = process.platform): string | undefined {
  if (platform === 'win32') return isThere(pid) ? '' : undefined;
  if (platform === 'linux') {
    // Fields after the name, which may itself hold blanks and brackets; the 20th is the start time.
    const text = readOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  }
  const started = readOr(
    () => execFileSync('ps', ['-o', 'lstart=', '-p', `${pid}`], { encoding: 'utf8' }),
    '',
  );
  return started === '' ? undefined : started;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

function describeSelf(purpose: string, platform: NodeJS.Platform): Claim {
  return {
    pid: process.pid,
    startedAt: processStart(process.pid, platform) ?? '',
    host: hostname(),
    boot: readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'), ''),
    namespace: readOr(() => readlinkSync('/proc/self/ns/pid'), ''),
    purpose,
  };
}

interface Asking {
  readonly self: Claim;
  readonly platform: NodeJS.Platform;
}

function isLive(claim: Claim, { self, platform }: Asking, renewedMsAgo: number): boolean {
  if (claim.host === self.host) {
    if (claim.boot !== self.boot) return false;
    if (claim.namespace === self.namespace) {
      const startedAt = processStart(claim.pid, platform);
      // Where nobody knows when it started, the claim has to be renewed as well.
      if (startedAt !== '') return startedAt === claim.startedAt;
    }
  }
  return renewedMsAgo < LEASE_MS;
}

/** The first live claim that is not ours; dead ones are removed on the way. */
async function findRival(
  { path: folder, ops }: Folder,
  own: string,
  asking: Asking,
): Promise<Claim | undefined> {
  for (const { name } of await ops.list(folder)) {
    if (!name.endsWith(CLAIM_SUFFIX) || name.startsWith('.') || name === own) continue;
    const path = join(folder, name);
    const text = await readTextBounded(path, { bytesMax: 65536, ops });
    const claim = claimSchema.safeParse(parsedJson(text)).data;
    // File systems keep their own time, so age is asked of them: a fresh claim of ours is "now".
    const renewed = await ops.stat(path);
    const now = await ops.stat(join(folder, own));
    if (renewed === undefined) continue;
    const age = now === undefined ? 0 : now.modifiedAt - renewed.modifiedAt;
    if (claim !== undefined && isLive(claim, asking, age)) return claim;
    // The name is unique to its process, so this can never remove a live claim by mistake.
    await ops.remove(path);
  }
  return undefined;
}

/**
 * Takes the lock that lives in `folder`. Every process writes its claim first and looks second, so
 * two that start at once can both be refused but never both succeed.
 * @throws store-locked with the holder's pid
 */
export async function acquireLock(folder: string, options: LockOptions = {}): Promise<Lock> {
  const { clock = systemClock, purpose = 'attune', ops = systemFileOps } = options;
  const { platform = process.platform } = options;
  await ops.makeFolder(folder);
  const self = describeSelf(purpose, platform);
  const own = `${self.pid}-${randomBytes(6).toString('hex')}${CLAIM_SUFFIX}`;
  const path = join(folder, own);
  let rival: Claim | undefined;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    await writeJsonAtomic(path, self, ops);
    rival = await findRival({ path: folder, ops }, own, { self, platform });
    if (rival === undefined) return hold(path, clock, ops);
    await ops.remove(path);
    if (attempt < TRIES - 1) await sleep(clock, randomInt(20, 220));
  }
  const message =
    `Another process uses ${folder}: ${rival?.purpose} (pid ${rival?.pid} on ${rival?.host}). ` +
    'Stop it first, or choose another store.';
  throw new AttuneError('store-locked', message, {
    folder,
    pid: rival?.pid ?? null,
    host: rival?.host ?? null,
  });
}

function hold(path: string, clock: Clock, ops: FileOps): Lock {
  let isHeld = true;
  const renew = (): void => {
    timer = clock.setTimeout(() => void touch(), RENEW_MS, { unref: true });
  };
  async function touch(): Promise<void> {
    // A claim that was removed by hand is the person's will; the next start will tell.
    await ops.touch(path).catch(() => undefined);
    if (isHeld) renew();
  }
  let timer = clock.setTimeout(() => void touch(), RENEW_MS, { unref: true });
  return {
    async release() {
      isHeld = false;
      timer.cancel();
      await ops.remove(path);
    },
  };
}
