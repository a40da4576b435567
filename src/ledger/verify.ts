// Checks a ledger against itself: the hash chain, every file of every night, and the pointer.
import { join } from 'node:path';
import { readJsonBounded } from '../base/atomic-file.ts';
import { reasonOf } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import { DAMAGED_SUFFIX } from '../base/line-recovery.ts';
import { DELETED, deletionSchema } from './deletion.ts';
import { hashNight, JOURNAL, type Ledger } from './ledger.ts';
import { type Manifest, manifestHash, type NightId, nightNumber } from './manifest.ts';

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
  const { manifests, damaged } = await ledger.scan();
  const findings = ledger.damage.map((text) => damage(null, text));
  findings.push(...damaged.map(({ night, text }) => damage(night, `cannot be read: ${text}`)));
  const lost = damaged.map(({ night }) => night);
  let parent: Manifest | undefined;
  for (const manifest of manifests) {
    findings.push(...chain(manifest, { parent, lost, base: ledger.base }));
    findings.push(...(await reported(manifest.night, () => files(ledger, manifest))));
    parent = manifest;
  }
  findings.push(...pointer(ledger, manifests, lost), ...seal(ledger, manifests, lost));
  findings.push(...encodings(ledger, manifests, encoding));
  findings.push(...(await reported(null, () => sum(ledger))));
  const isSound = findings.every((finding) => finding.kind !== 'damage');
  return { base: ledger.base, nights: manifests.length, isSound, findings };
}

function damage(night: NightId | null, text: string): Finding {
  return { night, kind: 'damage', text };
}

/** What cannot even be looked at is a finding, too. */
async function reported(
  night: NightId | null,
  look: () => Promise<Finding[]>,
): Promise<readonly Finding[]> {
  return look().catch((error: unknown) => [damage(night, reasonOf(error))]);
}

interface Before {
  readonly parent: Manifest | undefined;
  /** Nights whose manifest cannot be read: of what came before or after them nothing is known. */
  readonly lost: readonly NightId[];
  readonly base: string;
}

function chain(manifest: Manifest, { parent, lost, base }: Before): Finding[] {
  const { night, number } = manifest;
  const findings: Finding[] = [];
  if (manifest.base !== base) findings.push(damage(night, 'belongs to another base model'));
  const expected = parent === undefined ? null : manifestHash(parent);
  const isChained = (manifest.parent?.hash ?? null) === expected;
  if (!isChained && !lost.includes(manifest.parent?.night ?? '')) {
    const text = `the chain is broken: its parent is not ${parent?.night ?? 'none'}`;
    findings.push(damage(night, text));
  }
  const known = lost.map(nightNumber);
  let next = (parent?.number ?? 0) + 1;
  while (known.includes(next)) next++;
  if (number !== next) findings.push(damage(night, `night ${next} is missing before it`));
  return findings;
}

/** Active nights that learnt under another tokenizer or chat template than the one that speaks. */
function encodings(
  ledger: Ledger,
  manifests: readonly Manifest[],
  encoding: string | undefined,
): Finding[] {
  const { inForce } = ledger.head();
  if (encoding === undefined) return [];
  const others = manifests.filter(
    (one) => inForce.includes(one.night) && (one.encoding ?? encoding) !== encoding,
  );
  const text = 'learnt under another tokenizer or chat template than the one that speaks';
  return others.map(({ night }) => ({ night, kind: 'encoding-changed', text }));
}

/** The newest night has no child that names its hash, and the pointer none that names its own. */
function seal(ledger: Ledger, manifests: readonly Manifest[], lost: readonly NightId[]): Finding[] {
  const { last } = ledger.head();
  if (last === null || lost.includes(last.night)) return [];
  const sealed = manifests.find(({ night }) => night === last.night);
  if (sealed === undefined) return [damage(last.night, 'the newest night is missing')];
  return manifestHash(sealed) === last.hash ? [] : [damage(last.night, 'its manifest was changed')];
}

async function files(ledger: Ledger, manifest: Manifest): Promise<Finding[]> {
  const folder = ledger.folderOf(manifest.night);
  const found = await hashNight(folder);
  const { path, ops } = folder;
  const { withWords } = ledger.files;
  const findings: Finding[] = [];
  const deletion = await readJsonBounded(join(path, DELETED), deletionSchema, { ops }).catch(
    (error: unknown) => {
      findings.push(damage(manifest.night, reasonOf(error)));
      return undefined;
    },
  );
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
      findings.push(damage(manifest.night, text));
    }
  }
  // The journal goes on after the commit, and so may what was torn of it.
  const added = [...withWords, DELETED, JOURNAL + DAMAGED_SUFFIX];
  for (const name of Object.keys(found)) {
    if (Object.hasOwn(manifest.files, name) || added.includes(name)) continue;
    findings.push(damage(manifest.night, `${name} was added later`));
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
  return [damage(null, text)];
}

function pointer(
  ledger: Ledger,
  manifests: readonly Manifest[],
  lost: readonly NightId[],
): Finding[] {
  const { inForce, nights } = ledger.head();
  const findings: Finding[] = [];
  const known = new Map(manifests.map((manifest) => [manifest.night, manifest]));
  for (const night of inForce) {
    const manifest = known.get(night);
    if (manifest === undefined) findings.push(damage(night, 'is active, but not in the ledger'));
    else if (manifest.delta === null) findings.push(damage(night, 'is active, but has no delta'));
  }
  for (const night of Object.keys(nights)) {
    if (known.has(night) || lost.includes(night) || inForce.includes(night)) continue;
    findings.push(damage(night, 'was decided and is not in the ledger'));
  }
  // The newest may have been committed a moment ago; any before it was finished.
  if (!ledger.isHeadWritten() && manifests.length > 1) {
    findings.push(damage(null, 'head.json is missing: which nights were active is not known'));
  }
  return findings;
}
