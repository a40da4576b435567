// Scenarios as token ids, as far as they fit.
import { isAttuneError } from '../base/errors.ts';
import { type ChatRenderer, type Example, toExample } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';

export interface RenderOptions {
  readonly renderer: ChatRenderer;
  readonly limits: { readonly windowTokens: number; readonly replyTokensMax: number };
}

/** @param refused what does not fit is added here, with the reason */
export function render(
  scenarios: readonly Scenario[],
  { renderer, limits }: RenderOptions,
  refused: { id: string; reason: string }[],
): Example[] {
  return scenarios.flatMap((scenario) => {
    try {
      return [toExample(scenario, renderer, limits)];
    } catch (error) {
      if (!isAttuneError(error)) throw error;
      refused.push({ id: scenario.id, reason: error.message });
      return [];
    }
  });
}
