// A fake engine that can be held in the middle of a reply, so that no test depends on time.
import type { DecodedToken, GenerateRequest, GenerateResult } from '../../src/engine/engine.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { END_ID, FAKE_VOCABULARY, idsOf } from '../fakes/fake-tokenizer.ts';

/** In an answer: wait here until `release`. */
export const HOLD = '\u0000';

export class HeldEngine extends FakeEngine {
  answer = 'Yes.';
  #part: readonly number[] = [];
  #release: (() => void) | undefined;
  /** Released while the words before the hold were still on their way. */
  #isEarly = false;

  constructor() {
    super({
      reply: () => this.#part,
      windowTokens: 16_384,
      vocabularySize: FAKE_VOCABULARY,
    });
  }

  /** Lets the held reply go on, or the one that is about to be held. */
  release(): void {
    if (this.#release === undefined) this.#isEarly = true;
    else this.#release();
  }

  override async generate(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    this.#isEarly = false;
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

  async #held(signal: AbortSignal | undefined): Promise<void> {
    if (this.#isEarly) return;
    let own: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      own = resolve;
      this.#release = own;
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    if (this.#release === own) this.#release = undefined;
  }
}

function joined(first: GenerateResult, second: GenerateResult): GenerateResult {
  const ids = [...first.ids, ...second.ids];
  const version = first.versionRuns[0]?.[2] ?? '';
  return { ...second, ids, versionRuns: [[0, ids.length, version]] };
}
