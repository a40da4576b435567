// A fake engine that can be held in the middle of a reply, so that no test depends on time.
import type { DecodedToken, GenerateRequest, GenerateResult } from '../../src/engine/engine.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { END_ID, FAKE_VOCABULARY, idsOf } from '../fakes/fake-tokenizer.ts';

/** In an answer: wait here until `release`. */
export const HOLD = '\u0000';

export class HeldEngine extends FakeEngine {
  answer = 'Yes.';
  #part: readonly number[] = [];
  #release: () => void = () => undefined;

  constructor() {
    super({
      reply: () => this.#part,
      windowTokens: 16_384,
      vocabularySize: FAKE_VOCABULARY,
    });
  }

  /** Lets the held reply go on. */
  release(): void {
    this.#release();
  }

  override async generate(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    const parts = this.answer.split(HOLD).map(idsOf);
    parts.at(-1)?.push(END_ID);
    let result: GenerateResult | undefined;
    for (const part of parts) {
      if (result !== undefined) await this.#held(signal);
      this.#part = part;
      const next = await super.generate(request, onToken, signal);
      result = result === undefined ? next : joined(result, next);
      if (result.stopReason === 'aborted') break;
    }
    return result as GenerateResult;
  }

  #held(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      this.#release = resolve;
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

function joined(first: GenerateResult, second: GenerateResult): GenerateResult {
  const ids = [...first.ids, ...second.ids];
  const version = first.versionRuns[0]?.[2] ?? '';
  return { ...second, ids, versionRuns: [[0, ids.length, version]] };
}
