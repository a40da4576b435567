// Checks a ledger against itself: the hash chain, every file of every night, and the pointer.
import { join } from 'node:path';
import { readJsonBounded } from '../base/atomic-file.ts';
import { isAttuneError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import { DAMAGED_SUFFIX } from '../base/line-recovery.ts';
import { DELETED, deletionSchema } from './deletion.ts';
import { hashNight, JOURNAL, type Ledger } from './ledger.ts';
import { type Manifest, manifestHash, type NightId } from './manifest.ts';

export interface Finding {
  readonly night: NightId | null;
  /**
   * `data-deleted` is no damage: a person deleted a conversation this night learnt from. Nor is
   * `encoding-changed`: the night is active and learnt under another tokenizer or chat template.
   */
  readonly kind: 'damage' | 'data-deleted' | 'encoding-changed';
  readonly text: string;
}

export interface Verification {
  /** The base model whose ledger this is. */
  readonly base: string;
  readonly nights: number;
  readonly isSound: boolean;
  readonly findings: readonly Finding[];
}

export interface StoreVerification {
  readonly isSound: boolean;
  readonly ledgers: readonly Verification[];
}

/**
 * All ledgers of a store, whichever model speaks.
 * @param speaking that model, where it is known
 */
export async function verifyLedgers(
  all: readonly Ledger[],
  speaking?: Pick<Manifest, 'base' | 'encoding'>,
): Promise<StoreVerification> {
  const ledgers: Verification[] = [];
  for (const ledger of all) {
    const encoding = ledger.base === speaking?.base ? speaking.encoding : undefined;
    ledgers.push(await verifyLedger(ledger, encoding));
  }
  return { isSound: ledgers.every((one) => one.isSound), ledgers };
}

/** Reads every byte of the ledger. Never throws for damage: damage is what it reports. */
export async function verifyLedger(ledger: Ledger, encoding?: string): Promise<Verification> {
  const findings: Finding[] = [];
  let manifests: Manifest[] = [];
  try {
    manifests = await ledger.list();
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    findings.push({ night: null, kind: 'damage', text: error.message });
  }
  let parent: Manifest | undefined;
  for (const manifest of manifests) {
    findings.push(...chain(manifest, parent, ledger.base), ...(await files(ledger, manifest)));
    parent = manifest;
  }
  findings.push(...pointer(ledger, manifests, encoding), ...(await sum(ledger)));
  const isSound = findings.every((finding) => finding.kind !== 'damage');
  return { base: ledger.base, nights: manifests.length, isSound, findings };
}

function chain(manifest: Manifest, parent: Manifest | undefined, base: string): Finding[] {
  const damage = (text: string): Finding => ({ night: manifest.night, kind: 'damage', text });
  const findings: Finding[] = [];
  if (manifest.base !== base) findings.push(damage('belongs to another base model'));
  const expected = parent === undefined ? null : manifestHash(parent);
  if ((manifest.parent?.hash ?? null) !== expected) {
    findings.push(damage(`the chain is broken: its parent is not ${parent?.night ?? 'none'}`));
  }
  if (manifest.number !== (parent?.number ?? 0) + 1) {
    findings.push(damage(`night ${(parent?.number ?? 0) + 1} is missing before it`));
  }
  return findings;
}

async function files(ledger: Ledger, manifest: Manifest): Promise<Finding[]> {
  const folder = ledger.folderOf(manifest.night);
  const found = await hashNight(folder);
  const { path, ops } = folder;
  const deletion = await readJsonBounded(join(path, DELETED), deletionSchema, { ops });
  const { withWords } = ledger.files;
  const findings: Finding[] = [];
  for (const [name, hash] of Object.entries(manifest.files)) {
    if (found[name] === hash) continue;
    // Its delta lives on in the sum, which is checked on its own.
    if (name === manifest.delta?.file && isSquashed(ledger, manifest) && !(name in found)) continue;
    const isDeletable = withWords.includes(name);
    const recorded = deletion?.files[name];
    if (isDeletable && recorded !== undefined && recorded === (found[name] ?? null)) {
      const text = `${name}: data deleted on ${deletion?.at ?? ''}`;
      findings.push({ night: manifest.night, kind: 'data-deleted', text });
    } else {
      const text = found[name] === undefined ? `${name} is missing` : `${name} was changed`;
      findings.push({ night: manifest.night, kind: 'damage', text });
    }
  }
  // The journal goes on after the commit, and so may what was torn of it.
  const added = [...withWords, DELETED, JOURNAL + DAMAGED_SUFFIX];
  for (const name of Object.keys(found)) {
    if (Object.hasOwn(manifest.files, name) || added.includes(name)) continue;
    findings.push({ night: manifest.night, kind: 'damage', text: `${name} was added later` });
  }
  return findings;
}

const isSquashed = (ledger: Ledger, { night }: Manifest): boolean =>
  ledger.head().squashed?.nights.includes(night) === true;

async function sum(ledger: Ledger): Promise<Finding[]> {
  const { squashed } = ledger.head();
  if (squashed === null) return [];
  const { path, ops } = ledger.folder;
  const found = await sha256File(join(path, squashed.file), ops).catch(() => undefined);
  if (found === squashed.hash) return [];
  const text = `${squashed.file}, the sum of ${squashed.nights.length} nights, ${found === undefined ? 'is missing' : 'was changed'}`;
  return [{ night: null, kind: 'damage', text }];
}

function pointer(
  ledger: Ledger,
  manifests: readonly Manifest[],
  encoding: string | undefined,
): Finding[] {
  const findings: Finding[] = [];
  const known = new Map(manifests.map((manifest) => [manifest.night, manifest]));
  for (const night of ledger.head().inForce) {
    const manifest = known.get(night);
    if (manifest === undefined) {
      findings.push({ night, kind: 'damage', text: 'is in force and not in the ledger' });
    } else if (manifest.delta === null) {
      findings.push({ night, kind: 'damage', text: 'is in force and has no delta' });
    } else if (encoding !== undefined && (manifest.encoding ?? encoding) !== encoding) {
      const text = 'learnt under another tokenizer or chat template than the one that speaks';
      findings.push({ night, kind: 'encoding-changed', text });
    }
  }
  return findings;
}
