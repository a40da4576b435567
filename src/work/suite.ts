// The suite a night measures on: a fixed subset of the test conversations, the same every night.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../base/hash.ts';
import { readScenarios } from '../scenario/file.ts';
import { KIND, KINDS } from '../scenario/kind.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** All scenarios of the JSONL files of a folder, by file name. */
export async function readSuite(folder: string): Promise<Scenario[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
  const files = await Promise.all(names.map((name) => readScenarios(join(folder, name))));
  return files.flat();
}

const isGated = ({ kind }: Scenario): boolean => KIND[kind].isGated;

/** What a night measures on: many of the kinds that the gate judges, some of the others. */
export function nightSuite(
  scenarios: readonly Scenario[],
  { gated, ungated }: { gated: number; ungated: number },
): Scenario[] {
  return [
    ...stratified(scenarios.filter(isGated), gated),
    ...stratified(
      scenarios.filter((scenario) => !isGated(scenario)),
      Math.min(gated, ungated),
    ),
  ];
}

/** What the model itself answers in the measuring: some of each gated kind, and held-back flags. */
export function toAnswer(
  suite: readonly Scenario[],
  heldBack: readonly Scenario[],
  perKind: number,
): Scenario[] {
  if (perKind === 0) return [];
  const gated = suite.filter(isGated);
  return [...stratified(gated, perKind), ...heldBack];
}

/**
 * At most `perKind` of each kind, drawn by the hash of pair or id: the same subset every night,
 * and crossed pairs stay whole.
 */
export function stratified(scenarios: readonly Scenario[], perKind: number): Scenario[] {
  const key = (scenario: Scenario): string => scenario.pair?.id ?? scenario.id;
  const rank = new Map(scenarios.map((scenario) => [key(scenario), sha256(key(scenario))]));
  return KINDS.flatMap((kind) => {
    const own = scenarios.filter((scenario) => scenario.kind === kind);
    const sorted = own.sort((a, b) =>
      (rank.get(key(a)) ?? '') < (rank.get(key(b)) ?? '') ? -1 : 1,
    );
    const drawn: Scenario[] = [];
    for (const scenario of sorted) {
      const isSecondSide = drawn.some((one) => key(one) === key(scenario));
      if (drawn.length < perKind || (isSecondSide && drawn.length === perKind))
        drawn.push(scenario);
    }
    return drawn;
  });
}
