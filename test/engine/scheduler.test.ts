// What runs when: prompts, decode steps and their rhythm, on a runner that only keeps the time.
import { describe, expect, it } from 'vitest';
import { LiveVersions } from '../../src/engine/live-versions.ts';
import { PrefixCache } from '../../src/engine/prefix-cache.ts';
import { Reply } from '../../src/engine/reply.ts';
import type { Batch, Row, Runner } from '../../src/engine/runner.ts';
import type { Scores } from '../../src/engine/sampling.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import type { Executor, HostTensor, Value } from '../../src/runtime/executor.ts';
import { openModel, request, tinyModel } from './tiny-engine.ts';

const CHUNK = 10;
const SCORES: Scores = { logits: Float32Array.of(0, 1, 0), logSum: 1.5 };

interface TimedRow extends Row {
  tokens: number;
  name: number;
}

/** A token of a prompt takes a millisecond, a step `stepMs`; what ran is in `log`. */
class TimedRunner implements Runner {
  readonly bytesPerToken = 1;
  readonly bytes = 0;
  readonly log: string[] = [];
  readonly #stepMs: number;
  readonly #batches: TimedRow[][] = [];
  time = 0;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  open(): Row {
    return { tokens: 0, name: -1 } as TimedRow;
  }

  async extend(row: Row, ids: Int32Array): Promise<readonly Scores[]> {
    const own = row as TimedRow;
    if (own.name < 0) own.name = ids[0] as number;
    own.tokens += ids.length;
    this.time += ids.length;
    this.log.push(`${own.name}`);
    return [SCORES];
  }

  truncate(): void {}

  close(row: Row): void {
    for (const rows of this.#batches) {
      const at = rows.indexOf(row as TimedRow);
      if (at >= 0) rows.splice(at, 1);
    }
  }

  pastOf(): never {
    throw new Error('nothing is scored here');
  }

  createBatch(): Batch {
    const rows: TimedRow[] = [];
    this.#batches.push(rows);
    return {
      rows,
      join: (row) => rows.push(row as TimedRow),
      leave: (row) => rows.splice(rows.indexOf(row as TimedRow), 1),
      step: async () => {
        this.time += this.#stepMs;
        this.log.push('step');
        for (const row of rows) row.tokens++;
        return rows.map(() => SCORES);
      },
    };
  }
}

interface Scheduled {
  readonly stepMs: number;
  /** Units of a job beside them, a millisecond each. */
  readonly jobUnits?: number;
}

/** Prompts of so many tokens, named by their place, all asked for at once. */
async function schedule(
  promptTokens: readonly number[],
  { stepMs, jobUnits = 0 }: Scheduled,
): Promise<string[]> {
  const upload = async (tensor: HostTensor): Promise<Value> => ({
    ...tensor,
    read: async () => tensor,
    release: () => undefined,
  });
  const model = await openModel(await tinyModel());
  const source = { id: 'base', deltas: [] };
  const executor = { upload } as Partial<Executor> as Executor;
  const versions = await LiveVersions.open({ model, executor, bytesMax: 0 }, source);
  const runner = new TimedRunner(stepMs);
  const scheduler = new Scheduler({
    runner,
    versions,
    prefixes: new PrefixCache(runner),
    cacheBytesMax: 1e9,
    batchMax: 64,
    prefillChunkTokens: CHUNK,
    vocabularySize: 3,
    now: () => runner.time,
  });
  let units = 0;
  const advance = async (): Promise<boolean> => {
    runner.time += 1;
    runner.log.push('unit');
    units += 1;
    return units === jobUnits;
  };
  if (jobUnits > 0) scheduler.addJob({ advance, cancel: async () => undefined });
  await Promise.all(
    promptTokens.map(
      (tokens, name) =>
        new Promise((resolve, reject) => {
          const ids = [name, ...new Array<number>(tokens - 1).fill(0)];
          const callbacks = { onToken: () => undefined, resolve, reject, signal: undefined };
          scheduler.submit(new Reply(request(ids, { replyTokensMax: 20 }), 1000, callbacks));
        }),
    ),
  );
  return runner.log;
}

describe('between two decode steps', () => {
  it('prompts are read for as long as a step takes', async () => {
    const log = await schedule(new Array<number>(11).fill(CHUNK), { stepMs: 5 * CHUNK });
    expect(log.join(' ')).toMatch(/^0 step( \d+){5} step( \d+){5} step step/);
  });

  it('one chunk is read at least, however long that takes', async () => {
    const log = await schedule(new Array<number>(4).fill(CHUNK), { stepMs: 1 });
    expect(log.join(' ')).toMatch(/^0 step \d step \d step \d step step/);
  });

  it('nothing is waited for when no prompt is left', async () => {
    const log = await schedule([CHUNK], { stepMs: 5 * CHUNK });
    expect(log).toEqual(['0', ...new Array<string>(19).fill('step')]);
  });
});

describe('a job beside replies', () => {
  it('is worked on for at most half a step between two steps, and for one unit at least', async () => {
    const quick = (await schedule([CHUNK], { stepMs: 8, jobUnits: 12 })).join(' ');
    expect(quick).toMatch(
      /^0 step unit unit unit unit step step unit unit unit unit step step unit/,
    );
    expect(quick).not.toMatch(/(unit ?){5}/);
    const slow = (await schedule([CHUNK], { stepMs: 1, jobUnits: 3 })).join(' ');
    expect(slow).toMatch(/^0 step unit step step unit step step unit step/);
  });
});

describe('of several prompts', () => {
  it('short ones pass a long one, which goes on in between', async () => {
    const log = await schedule([10 * CHUNK, CHUNK, CHUNK, CHUNK], { stepMs: 1 });
    const prompts = log.filter((entry) => entry !== 'step');
    expect(prompts.slice(0, 6)).toEqual(['1', '0', '2', '0', '3', '0']);
    expect(prompts.filter((entry) => entry === '0')).toHaveLength(10);
  });

  it('those of one length are read one after another, in the order of their asking', async () => {
    const log = await schedule([2 * CHUNK, 2 * CHUNK, 2 * CHUNK], { stepMs: 1 });
    const prompts = log.filter((entry) => entry !== 'step');
    expect(prompts).toEqual(['0', '0', '1', '1', '2', '2']);
  });
});
