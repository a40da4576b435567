// Small state in one JSON file: lowdb, with an adapter that checks, writes atomically and syncs.
import { dirname } from 'node:path';
import { type Adapter, Low } from 'lowdb';
import { z } from 'zod';
import { checkStored, readJsonBounded, writeFileAtomic, writeJsonAtomic } from './atomic-file.ts';
import { AttuneError } from './errors.ts';
import { type FileOps, systemFileOps } from './file-ops.ts';
import { createPace } from './pace.ts';
import { createQueue } from './queue.ts';
import { isDamage, listAside, removeAside, setAside } from './set-aside.ts';

/** Leads from one schema version to the next. */
export interface Upgrade {
  /** The version it reads; it gives `from + 1`. */
  readonly from: number;
  /** What it fills in or changes, for the logger. */
  readonly says: string;
  /** Its result is waited for. */
  readonly upgrade: (data: unknown) => unknown;
}

export interface JsonStoreOptions<T> {
  readonly path: string;
  readonly schemaVersion: number;
  readonly schema: z.ZodType<T>;
  /** The state of a store that is not there yet. */
  readonly initial: T;
  readonly upgrades?: readonly Upgrade[];
  readonly ops?: FileOps | undefined;
}

export interface JsonStore<T> {
  /** The state on disk. Read it, never write into it. */
  readonly data: T;
  /** What upgrades did at opening. */
  readonly upgraded: readonly string[];
  /**
   * Changes a copy, checks it, writes it, and only then makes it the state. Calls are queued. When
   * it rejects, the state is what it was, in memory and on disk. Elements of lists are replaced,
   * never changed: those that stay are neither copied nor checked nor spelled again.
   * @returns what `change` returned
   */
  update<R>(change: (draft: Draft<T>) => R): Promise<R>;
  /** Names of files beside it that could not be read and were set aside, now or earlier. */
  readonly aside: readonly string[];
  /**
   * Removes what was set aside, and what earlier releases wrote and upgrades kept: a deletion must
   * reach it too.
   */
  removeCopies(): Promise<void>;
}

export type Draft<T> = {
  [K in keyof T]: T[K] extends (infer Element)[] ? Readonly<Element>[] : T[K];
};

const envelope = z.strictObject({ schemaVersion: z.int().min(1), data: z.unknown() });

/**
 * A file that cannot be read is set aside, and the initial state begun.
 * @throws store-newer when a later release wrote it, disk-full, store-failed
 */
export async function openJsonStore<T extends object>(
  options: JsonStoreOptions<T>,
): Promise<JsonStore<T>> {
  const { path, schema, ops = systemFileOps } = options;
  const upgraded: string[] = [];
  const texts: Texts = new WeakMap();
  const adapter: Adapter<T> = {
    async read() {
      const file = await readJsonBounded(path, envelope, { ops });
      if (file === undefined) return null;
      const data = await upgradeData(file.schemaVersion, file.data, { ...options, upgraded });
      const state = checkStored(path, schema, data);
      if (upgraded.length > 0) {
        // What the release before wrote stays beside it, for the way back.
        await writeJsonAtomic(earlierPath(path, file.schemaVersion), file, ops);
        await adapter.write(state);
      }
      return state;
    },
    async write(data) {
      await writeFileAtomic(path, await spell(data, options.schemaVersion, texts), ops);
    },
  };
  const low = new Low(adapter, structuredClone(options.initial));
  try {
    await low.read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    await setAside(path, ops);
    low.data = structuredClone(options.initial);
  }
  const aside = await listAside(path, ops);

  const isFresh = (element: unknown): boolean => !texts.has(element as object);
  const queue = createQueue();
  async function apply<R>(change: (draft: Draft<T>) => R): Promise<R> {
    const before = low.data;
    const draft = mapLists(before, (list) => [...list]);
    const result = change(draft as Draft<T>);
    const parsed = schema.safeParse(mapLists(draft, (list) => list.filter(isFresh)));
    if (!parsed.success) {
      throw new Error(`json store ${path}: a change does not fit the schema: ${parsed.error}`);
    }
    low.data = draft;
    try {
      await low.write();
    } catch (error) {
      low.data = before;
      throw error;
    }
    return result;
  }

  return {
    get data() {
      return low.data;
    },
    upgraded,
    update: (change) => queue(() => apply(change)),
    aside,
    async removeCopies() {
      await removeAside(path, ops);
      for (let version = 1; version < options.schemaVersion; version++) {
        const earlier = earlierPath(path, version);
        if ((await ops.stat(earlier)) === undefined) continue;
        await ops.remove(earlier);
        await ops.syncFolder(dirname(path));
      }
    },
  };
}

/** How elements of lists are spelled; each was checked. */
type Texts = WeakMap<object, string>;

function mapLists<T extends object>(data: T, change: (list: readonly unknown[]) => unknown[]): T {
  const members = Object.entries(data).map(([key, value]) => {
    return [key, Array.isArray(value) ? change(value) : value] as const;
  });
  return Object.fromEntries(members) as T;
}

/** The file: people read it, an element a line. Thousands of elements do not hold up others. */
async function spell(data: object, schemaVersion: number, texts: Texts): Promise<string> {
  const pace = createPace();
  const members: string[] = [];
  for (const [key, value] of Object.entries(data)) {
    if (!Array.isArray(value)) {
      members.push(`${JSON.stringify(key)}: ${JSON.stringify(value)}`);
      continue;
    }
    const lines: string[] = [];
    for (const element of value) {
      lines.push(spellOne(element, texts));
      await pace();
    }
    members.push(`${JSON.stringify(key)}: [\n${lines.join(',\n')}\n]`);
  }
  return `{"schemaVersion": ${schemaVersion}, "data": {\n${members.join(',\n')}\n}}\n`;
}

function spellOne(element: unknown, texts: Texts): string {
  if (typeof element !== 'object' || element === null) return JSON.stringify(element);
  const text = texts.get(element) ?? JSON.stringify(element);
  texts.set(element, text);
  return text;
}

const earlierPath = (path: string, version: number): string => `${path}.v${version}`;

async function upgradeData<T>(
  version: number,
  data: unknown,
  options: JsonStoreOptions<T> & { readonly upgraded: string[] },
): Promise<unknown> {
  const { path, schemaVersion, upgrades = [], upgraded } = options;
  if (version > schemaVersion) {
    const known = `this release knows versions up to ${schemaVersion}`;
    const message = `${path} has schema version ${version}; ${known}. Update Attune.`;
    throw new AttuneError('store-newer', message, { path, version, schemaVersion });
  }
  let current = data;
  for (let from = version; from < schemaVersion; from++) {
    const step = upgrades.find((upgrade) => upgrade.from === from);
    if (step === undefined) {
      const message = `${path} has schema version ${version}; no upgrade leads on from ${from}.`;
      throw new AttuneError('store-damaged', message, { path, version, schemaVersion });
    }
    try {
      current = await step.upgrade(current);
    } catch (cause) {
      const message = `${path} has schema version ${version}, and is not what that release wrote.`;
      throw new AttuneError('store-damaged', message, { path, version }, { cause });
    }
    upgraded.push(`${from} → ${from + 1}: ${step.says}`);
  }
  return current;
}
