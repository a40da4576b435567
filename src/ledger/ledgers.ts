// The ledgers of a store, one for each base model: `<folder>/<hash of the base>/`. The name alone
// says whose nights they are, also where `head.json` is damaged or was never written.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import { type Ledger, type LedgerOptions, openLedger } from './ledger.ts';
import { nightIdSchema } from './manifest.ts';

export interface LedgersOptions extends Omit<LedgerOptions, 'base'> {
  /** Hash of the base model that speaks; it may be known later than the others' ledgers are open. */
  readonly base: string | Promise<string>;
}

export interface Ledgers {
  /** Of the base model that speaks. */
  readonly speaking: Ledger;
  /** Of every base model that has ever spoken here, the speaking one among them. */
  readonly all: readonly Ledger[];
  /** The base model in whose ledger a night is; the speaking one where no ledger has it. */
  baseOf(night: string): Promise<string>;
  /** What an upgrade did at opening; undefined: there was nothing to do. */
  readonly upgraded: string | undefined;
}

const BASE = /^[0-9a-f]{64}$/;

/** Opens all of them; that of the base that speaks is made when it is not there. */
export async function openLedgers(
  folder: string,
  { base, files, ops = systemFileOps }: LedgersOptions,
): Promise<Ledgers> {
  await ops.makeFolder(folder);
  const upgraded = await moveSingleLedger(folder, base, ops);
  const speaks = await base;
  const there = (await ops.list(folder)).filter(
    ({ name, isFolder }) => isFolder && BASE.test(name),
  );
  const bases = [...new Set([...there.map(({ name }) => name), speaks])].sort();
  const all = await Promise.all(
    bases.map((one) => openLedger(join(folder, one), { base: one, files, ops })),
  );
  return {
    speaking: all[bases.indexOf(speaks)] as Ledger,
    all,
    upgraded,
    async baseOf(night) {
      const id = nightIdSchema.safeParse(night);
      for (const { base: own, folderOf } of id.success ? all : []) {
        if ((await ops.stat(folderOf(night).path)) !== undefined) return own;
      }
      return speaks;
    },
  };
}

/** All of them as they are, to look at: nothing is made, moved or set aside. */
export async function readLedgers(
  folder: string,
  { files, ops = systemFileOps }: Pick<LedgerOptions, 'files' | 'ops'>,
): Promise<Ledger[]> {
  if ((await ops.stat(folder)) === undefined) return [];
  const names = (await ops.list(folder)).map(({ name }) => name);
  const open = (path: string, base: string): Promise<Ledger> =>
    openLedger(path, { base, files, ops, isReadOnly: true });
  const single = names.some((name) => SINGLE.test(name))
    ? [await open(folder, (await baseOfSingle(folder, ops)) ?? '')]
    : [];
  const own = names.filter((name) => BASE.test(name)).map((base) => open(join(folder, base), base));
  return [...single, ...(await Promise.all(own))];
}

/** What stood in the ledger's folder while a store had a single one; in the order of moving. */
const SINGLE = /^(?:building|reviews|blind\.jsonl.*|squashed-.*|nights|head\.json.*)$/;
const LAST = ['nights', 'head.json'];

/**
 * The upgrade of stores before 30 November 2026: their single ledger moves into the folder of its
 * base, one rename after the other. What says whose it is moves last, so that an upgrade that was
 * cut goes on at the next start.
 * @throws store-damaged when that folder has nights of its own
 */
async function moveSingleLedger(
  folder: string,
  speaking: string | Promise<string>,
  ops: FileOps,
): Promise<string | undefined> {
  const names = (await ops.list(folder))
    .map(({ name }) => name)
    .filter((name) => SINGLE.test(name));
  if (names.length === 0) return undefined;
  // An empty ledger names no base.
  const base = (await baseOfSingle(folder, ops)) ?? (await speaking);
  const target = join(folder, base);
  await ops.makeFolder(target);
  for (const name of names) {
    // A file there is the same one: a power cut can leave both names of it.
    const isTaken = (await ops.stat(join(target, name)))?.isFolder === true;
    if (isTaken) throw occupied(join(folder, name), target);
  }
  for (const name of names.sort((a, b) => LAST.indexOf(a) - LAST.indexOf(b))) {
    await ops.rename(join(folder, name), join(target, name));
    await ops.syncFolder(target);
    await ops.syncFolder(folder);
  }
  return `the single ledger became that of its base model ${base.slice(0, 12)}`;
}

/** `head.json`, manifests and plans name the base model. */
async function baseOfSingle(folder: string, ops: FileOps): Promise<string | undefined> {
  const paths = [join(folder, 'head.json')];
  for (const [stage, file] of [
    ['nights', 'manifest.json'],
    ['building', 'plan.json'],
  ] as const) {
    const under = join(folder, stage);
    if ((await ops.stat(under)) === undefined) continue;
    paths.push(...(await ops.list(under)).map(({ name }) => join(under, name, file)));
  }
  for (const path of paths) {
    const found = await readJsonBounded(path, namesBase, { ops }).catch(() => undefined);
    if (found !== undefined) return found.base;
  }
  return undefined;
}

const namesBase = z.object({ base: z.string().regex(BASE) });

function occupied(from: string, to: string): AttuneError {
  const message =
    `${from} belongs into ${to}, which has such a folder already: an earlier release wrote into ` +
    'this store again. Keep the one that has your nights, and move the other out of the store.';
  return new AttuneError('store-damaged', message, { from, to });
}
