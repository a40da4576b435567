// What weights are measured on: scenarios rendered once, as far as they fit. It runs nothing.
import { type RenderOptions, render } from '../reading/render.ts';
import type { Example } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { withoutOwnIdea } from '../scenario/variant.ts';

export interface MeasuredScenarios {
  readonly scenarios: readonly Scenario[];
  /** Everyday talk that nothing trained on. */
  readonly everyday: readonly Scenario[];
  /** What the candidate learnt from: KL on the night's own inputs, and seen domains. */
  readonly trained?: readonly Scenario[];
}

/** `MeasuredScenarios` as token ids. */
export interface MeasuringSet {
  readonly examples: readonly Example[];
  readonly everyday: readonly Example[];
  readonly trained: readonly Example[];
  /** Listening examples with an own idea of the model in the context, and each without it. */
  readonly ownIdeas: readonly { readonly present: Example; readonly absent: Example }[];
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
}

/** What does not fit is named in `refused`. */
export function renderMeasuringSet(
  { scenarios, everyday, trained = [] }: MeasuredScenarios,
  options: RenderOptions,
): MeasuringSet {
  const refused: { id: string; reason: string }[] = [];
  const examples = render(scenarios, options, refused);
  return {
    examples,
    everyday: render(everyday, options, refused),
    trained: render(trained, options, refused),
    ownIdeas: examples.flatMap((present) => {
      const { scenario, rejected } = present;
      if (scenario.kind !== 'listen' || rejected === undefined) return [];
      const bare = withoutOwnIdea(scenario);
      const [absent] = bare === undefined ? [] : render([bare], options, []);
      return absent === undefined ? [] : [{ present, absent }];
    }),
    refused,
  };
}
