// The pointer of a ledger: which nights are active, what was decided about each, and the seal of
// the newest one.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import { sha256Json } from '../base/hash.ts';
import { isDamage, listAside, setAside } from '../base/set-aside.ts';
import { nightIdSchema } from './manifest.ts';

/** What became of a night's delta. */
const STATUSES = ['refused', 'empty', 'waiting', 'in-force', 'rejected', 'reverted'] as const;
export type NightStatus = (typeof STATUSES)[number];

const headSchema = z.strictObject({
  schema: z.literal(1),
  base: z.string(),
  /** Nights whose deltas make the current version, in order. */
  inForce: z.array(nightIdSchema),
  /** Decisions taken after the commit; a night without one has the status of its manifest. */
  nights: z.record(
    nightIdSchema,
    z.strictObject({ status: z.enum(STATUSES), at: z.iso.datetime(), why: z.string() }),
  ),
  /** The first active nights whose deltas were added up into one file, and its sha256. */
  squashed: z
    .strictObject({
      nights: z.array(nightIdSchema),
      file: z.string().regex(/^squashed-[\w-]+\.safetensors$/),
      hash: z.string(),
    })
    .nullable()
    .default(null),
  /**
   * The newest finished night and the hash of its manifest: no later one names it as its parent
   * yet. Null in a store of before 30 November 2026, until its next start.
   */
  last: z
    .strictObject({ night: nightIdSchema, number: z.int().min(1), hash: z.string() })
    .nullable()
    .default(null),
  /** sha256 of all the rest; absent in a store of before 30 November 2026. */
  seal: z.string().optional(),
});
type SealedHead = z.infer<typeof headSchema>;
export type Head = Omit<SealedHead, 'seal'>;
export type HeadChange = Partial<Omit<Head, 'schema' | 'base'>>;

export interface HeadFile {
  readonly value: Head;
  /** False: it was never written, or it is gone. */
  readonly isWritten: boolean;
  /** What is wrong with it, a sentence each. */
  readonly damage: readonly string[];
  change(change: HeadChange): Promise<Head>;
}

/** One that cannot be read is set aside, and another begun; `isReadOnly`: it stays where it is. */
export async function openHead(
  { path: folder, ops }: Folder,
  base: string,
  isReadOnly: boolean,
): Promise<HeadFile> {
  const path = join(folder, 'head.json');
  const damage: string[] = [];
  const found = await readJsonBounded(path, headSchema, { ops }).catch(async (error: Error) => {
    if (!isDamage(error)) throw error;
    damage.push(error.message);
    if (!isReadOnly) await setAside(path, ops);
    return undefined;
  });
  const isOurs = found === undefined || found.base === base;
  if (!isOurs) {
    damage.push(`${path} names another base model (${found.base.slice(0, 12)}).`);
    if (!isReadOnly) await setAside(path, ops);
  }
  const { seal, ...read } = found !== undefined && isOurs ? found : begin(base);
  if (seal !== undefined && seal !== sha256Json(read)) {
    damage.push(`${path} was changed by something other than Attune.`);
  }
  const aside = await listAside(path, ops);
  if (aside.length > 0) {
    damage.push(
      `${aside.join(', ')}: the list of active nights could not be read and was set aside. Approve ` +
        'the nights that should be active again, then remove this file.',
    );
  }
  let head: Head = read;
  let isWritten = found !== undefined && isOurs;
  return {
    get value() {
      return head;
    },
    get isWritten() {
      return isWritten;
    },
    damage,
    async change(change) {
      const next: Head = { ...head, ...change, nights: { ...head.nights, ...change.nights } };
      await writeJsonAtomic(path, headSchema.parse({ ...next, seal: sha256Json(next) }), ops);
      head = next;
      isWritten = true;
      return head;
    },
  };
}

function begin(base: string): SealedHead {
  return { schema: 1, base, inForce: [], nights: {}, squashed: null, last: null };
}
