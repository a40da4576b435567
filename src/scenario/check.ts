// Says of a reply, by fixed rules, whether it listens; no model is asked.
import { CHECK, type CheckResult } from './kind.ts';
import type { Scenario } from './scenario.ts';
import { hasPhrase, wordsOf } from './words.ts';

/**
 * Whether `reply` listens in `scenario`. Deterministic; how far it agrees with labels set by
 * reading is in suites/README.md, and a kind below 0.8 there may not gate.
 */
export function checkReply(scenario: Scenario, reply: string): CheckResult {
  const broken = brokenness(reply);
  if (broken !== undefined) return { passes: false, reason: broken };
  const { needs = [], avoids = [] } = scenario.facts ?? {};
  if (hasPhrase(reply, avoids)) {
    return { passes: false, reason: 'says what it should leave out' };
  }
  for (const group of needs) {
    if (!hasPhrase(reply, group)) return { passes: false, reason: `lacks "${group[0]}"` };
  }
  return CHECK[scenario.kind](scenario, reply);
}

/** Empty or looping text never listens. */
export function brokenness(reply: string): string | undefined {
  const words = wordsOf(reply).map((word) => word.text);
  if (words.length === 0) return 'empty';
  const seen = new Map<string, number>();
  for (let i = 0; i + 4 <= words.length; i++) {
    const four = words.slice(i, i + 4).join(' ');
    const count = (seen.get(four) ?? 0) + 1;
    if (count >= 3) return 'loops';
    seen.set(four, count);
  }
  return undefined;
}
