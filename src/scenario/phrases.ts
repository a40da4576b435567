// The words and phrases of the checks, by name: what suites/phrases.md lists.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { installationFolder } from '../config/load.ts';

const NAMES = z.enum([
  ...(['objections', 'compliance', 'offers', 'acknowledgements', 'asks', 'boundaries'] as const),
  ...(['person', 'insults', 'agreements', 'refusals', 'pursuits', 'lettingGo'] as const),
  ...(['negations', 'glue', 'sorry', 'glad', 'againstWarned', 'reservations'] as const),
  ...(['asksForMissing', 'emptyWords', 'stopWords'] as const),
]);

/** What stands between the bars of a section; its first paragraph says what the list is. */
function listIn(section: string): readonly [name: string, list: readonly string[]] {
  const [head = '', ...lines] = section.split(/\n {4}/);
  const name = head.slice(0, head.indexOf('\n'));
  return [
    name,
    lines
      .join(' ')
      .split('|')
      .map((phrase) => phrase.trim()),
  ];
}

const text = readFileSync(join(installationFolder, 'suites', 'phrases.md'), 'utf8');
const sections = text.split('\n## ').slice(1);

export const phrases = z
  .record(NAMES, z.array(z.string().min(1)).min(1))
  .parse(Object.fromEntries(sections.map(listIn)));
