// The chat engine, wrapped so that a night hears when somebody is being answered.
import type { Engine } from '../engine/engine.ts';

export interface Busyness {
  /** The first reply begins. */
  onBusy(): void;
  /** The last reply has ended. */
  onIdle(): void;
}

/** All calls pass through; `generate` is counted. */
export function courteousEngine(engine: Engine, listener: Busyness): Engine {
  let replies = 0;
  return {
    describe: () => engine.describe(),
    async generate(request, onToken, signal) {
      replies += 1;
      if (replies === 1) listener.onBusy();
      try {
        return await engine.generate(request, onToken, signal);
      } finally {
        replies -= 1;
        if (replies === 0) listener.onIdle();
      }
    },
    score: (request, signal) => engine.score(request, signal),
    capture: (request, signal) => engine.capture(request, signal),
    loadVersion: (source) => engine.loadVersion(source),
    switchVersion: (id) => engine.switchVersion(id),
    forget: (cacheKey) => engine.forget(cacheKey),
    close: () => engine.close(),
  };
}
