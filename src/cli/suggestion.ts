// Which model to start instead of a demonstration: the best one on this machine, or one to fetch.
import { execFile } from 'node:child_process';
import { constants, setPriority, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/schema.ts';
import type { ModelSuggestion } from '../protocol/server-message.ts';
import { exampleFor } from './hub/example-model.ts';
import { bestOf, type ListedModel, startCommand } from './model/models.ts';

const LISTING_MS_MAX = 30_000;
const LISTING_BYTES_MAX = 16 * 2 ** 20;
const ATTUNE = fileURLToPath(new URL('./main.js', import.meta.url));

/** The models are listed by a process of its own: heads have megabytes, and any may be hostile. */
export function findSuggestion({ store }: Config): Promise<ModelSuggestion> {
  return new Promise((resolve) => {
    const limits = { timeout: LISTING_MS_MAX, maxBuffer: LISTING_BYTES_MAX };
    const env = { ...process.env, ATTUNE_STORE: undefined, ATTUNE_STORE_PATH: store.path };
    const listing = execFile(
      process.execPath,
      [ATTUNE, 'models', '--json'],
      { ...limits, env },
      (error, text) => resolve(suggestionFrom(error === null ? JSON.parse(text) : [], totalmem())),
    );
    // Chat comes first; where it cannot be said, nothing is lost.
    try {
      if (listing.pid !== undefined) setPriority(listing.pid, constants.priority.PRIORITY_LOW);
    } catch {}
    listing.unref();
  });
}

export function suggestionFrom(models: readonly ListedModel[], memory: number): ModelSuggestion {
  const best = bestOf(models, memory);
  return best === undefined
    ? { model: null, command: `npx attune pull ${exampleFor(memory)}` }
    : { model: best.name, command: startCommand(best.name) };
}
