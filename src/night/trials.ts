// Nights that are tried for a day: since when, what was preferred meanwhile, and what follows.
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import { type BlindBook, type DayAnswers, staysAfter } from '../morning/blind.ts';
import { ON_TRIAL } from '../morning/list.ts';
import type { BlindAnswer } from '../protocol/summary.ts';

export interface TrialsOptions {
  readonly ledger: Ledger;
  readonly blind: BlindBook;
  readonly clock: Clock;
}

export class Trials {
  readonly #options: TrialsOptions;

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  isOn(id: NightId): boolean {
    const { inForce, nights } = this.#options.ledger.head();
    return inForce.includes(id) && nights[id]?.why === ON_TRIAL;
  }

  /** When it began, ms since 1970. @throws night-unknown when the night is not on trial */
  since(id: NightId): number {
    const { nights } = this.#options.ledger.head();
    if (this.isOn(id)) return Date.parse(nights[id]?.at ?? '');
    throw new AttuneError('night-unknown', `Night "${id}" is not on trial.`, { id });
  }

  /** What was preferred since, with one answer more. @throws night-unknown */
  async day(id: NightId, given?: BlindAnswer): Promise<DayAnswers> {
    const { blind, clock } = this.#options;
    this.since(id);
    return blind.day(id, given && { given, at: clock.now() });
  }

  /** For good. To be called in the ledger's turn. */
  async keep(id: NightId): Promise<undefined> {
    const { ledger, clock } = this.#options;
    const at = new Date(clock.now()).toISOString();
    await ledger.setHead({
      nights: { [id]: { status: 'in-force', at, why: 'kept after a trial' } },
    });
  }

  /** Before a night: what is on trial is taken back, unless its replies were preferred. */
  async end(takeBack: (id: NightId) => Promise<unknown>): Promise<void> {
    const { ledger } = this.#options;
    for (const id of ledger.head().inForce.filter((night) => this.isOn(night))) {
      const { tally } = await this.day(id);
      await (staysAfter(tally) ? ledger.turn(() => this.keep(id)) : takeBack(id));
    }
  }
}
