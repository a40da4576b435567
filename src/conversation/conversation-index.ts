// The list of conversations in memory: by id, by time, and by what was said in them.
import { byNewest, type CatalogueEntry } from './catalogue.ts';
import { countShared } from './word-hash.ts';

export class ConversationIndex {
  readonly #entries = new Map<string, CatalogueEntry>();
  readonly #byFingerprint = { asked: new Map<string, string>(), said: new Map<string, string>() };
  #sorted: readonly CatalogueEntry[] | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): CatalogueEntry | undefined {
    return this.#entries.get(id);
  }

  all(): CatalogueEntry[] {
    return [...this.#entries.values()];
  }

  newestFirst(): readonly CatalogueEntry[] {
    this.#sorted ??= this.all().sort(byNewest);
    return this.#sorted;
  }

  find(key: 'asked' | 'said', fingerprint: string): string | undefined {
    return this.#byFingerprint[key].get(fingerprint);
  }

  /** Conversations in which some of these messages were said, with how many of them. */
  sharing(hashes: ReadonlySet<string>): { id: string; shared: number }[] {
    return this.all()
      .map(({ id, words }) => ({ id, shared: countShared(words, hashes) }))
      .filter(({ shared }) => shared > 0);
  }

  /** Conversations that began with words of this one, or of one that did. */
  copiesOf(id: string): string[] {
    const found = new Set([id]);
    // What is added while it runs is looked at as well.
    for (const origin of found) {
      for (const { id: copy, copyOf } of this.all()) if (copyOf.includes(origin)) found.add(copy);
    }
    found.delete(id);
    return [...found];
  }

  set(entry: CatalogueEntry): void {
    this.#dropFingerprints(entry.id);
    this.#entries.set(entry.id, entry);
    const { asked, said } = entry.fingerprints;
    if (asked !== null) this.#byFingerprint.asked.set(asked, entry.id);
    this.#byFingerprint.said.set(said, entry.id);
    this.#sorted = undefined;
  }

  delete(id: string): void {
    this.#dropFingerprints(id);
    this.#entries.delete(id);
    this.#sorted = undefined;
  }

  #dropFingerprints(id: string): void {
    const before = this.#entries.get(id)?.fingerprints;
    for (const key of ['asked', 'said'] as const) {
      const ids = this.#byFingerprint[key];
      const fingerprint = before?.[key] ?? '';
      if (ids.get(fingerprint) === id) ids.delete(fingerprint);
    }
  }
}
