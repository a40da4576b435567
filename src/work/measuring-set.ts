// What a night measures on: read from its folder and the suites once, at the start of the phase.
import { createRandom } from '../base/random.ts';
import { judgeWords, scenarioOfDraft, wordsOf } from '../dream/admit.ts';
import { echoes } from '../dream/echo.ts';
import { createCopyCheck } from '../dream/near-copy.ts';
import type { MeasuredScenarios } from '../measure/measuring-set.ts';
import { readFlagged, readScenarioFile } from '../record/files.ts';
import { type FlaggedMoment, measuresForgetting, scenarioOf } from '../record/moment.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Night } from './phase.ts';
import { nightSuite, readSuite, stratified, toAnswer } from './suite.ts';

export interface NightSet extends Required<MeasuredScenarios> {
  /** Those of `scenarios` that are crossed moments of the person's own talks. */
  readonly own: readonly Scenario[];
  /** Those of `scenarios` that are held-back flags. */
  readonly heldBack: readonly Scenario[];
  /** Whose free replies are checked. */
  readonly asked: readonly Scenario[];
  /** All flagged moments. */
  readonly moments: readonly FlaggedMoment[];
  /** Those with both candidates, also where they trained: shown, never judged. */
  readonly flagged: readonly Scenario[];
}

export async function readNightSet({ plan, folder }: Night): Promise<NightSet> {
  const { measure, dream } = plan.config;
  const moments = await readFlagged(folder);
  const trained = await readScenarioFile(folder, 'scenarios');
  // Half of the talks replay, the other half measures.
  const quiet = (await readScenarioFile(folder, 'everyday')).filter(measuresForgetting);
  const tests = untrained(await readSuite(plan.suiteFolder), trained, dream.nearCopyMax);
  const suite = nightSuite(tests, {
    gated: measure.scenariosPerKind,
    ungated: measure.scenariosPerUngatedKind,
  });
  const ordinary = suite.filter(({ kind }) => kind === 'ordinary');
  const flags = (list: readonly FlaggedMoment[]): Scenario[] =>
    list.flatMap((moment) => scenarioOf(moment) ?? []);
  const isPaired = ({ rejected }: Scenario): boolean => rejected !== undefined;
  const neverTrained = flags(moments.filter((moment) => moment.isHeldBack));
  const heldBack = neverTrained.filter(isPaired);
  const own = ownMoments(quiet, trained, measure.scenariosPerKind);
  return {
    scenarios: [...suite, ...heldBack, ...own],
    everyday: [...quiet, ...ordinary].slice(0, measure.everydayTurns),
    trained,
    own,
    heldBack,
    asked: toAnswer(suite, neverTrained, measure.repliesPerKind),
    moments,
    flagged: flags(moments).filter(isPaired),
  };
}

/** The test conversations, without any that a flag of the person nearly copies: it has trained. */
function untrained(
  tests: readonly Scenario[],
  trained: readonly Scenario[],
  nearCopyMax: number,
): Scenario[] {
  const isTrained = createCopyCheck(trained.map(wordsOf), nearCopyMax);
  return tests.filter((scenario) => !isTrained(wordsOf(scenario)));
}

/**
 * Crossed moments of the talks that measure and of which nothing trains: whether it listens better
 * in the person's own world.
 */
function ownMoments(
  quiet: readonly Scenario[],
  trained: readonly Scenario[],
  perKind: number,
): Scenario[] {
  const learnt = new Set(trained.map(({ source }) => source.cluster));
  const untouched = quiet.filter(({ source }) => !learnt.has(source.cluster));
  const drafts = echoes(untouched, untouched.length, createRandom('own moments'));
  const sides = drafts.flatMap((draft) => {
    if (judgeWords(draft) !== undefined) return [];
    const scenario = scenarioOfDraft(draft);
    return [{ ...scenario, source: { ...scenario.source, origin: 'log' as const } }];
  });
  const isWhole = ({ pair }: Scenario): boolean =>
    sides.filter((one) => one.pair?.id === pair?.id).length === 2;
  return stratified(sides.filter(isWhole), perKind);
}
