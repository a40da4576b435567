// Nights as the daemon sees them: when they come, start one, stand aside for a chat, finish it,
// decide about it.
import { AttuneError, isAttuneError, reasonOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Engine } from '../engine/engine.ts';
import type { NightStatus } from '../ledger/head.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import { type StoreVerification, verifyLedgers } from '../ledger/verify.ts';
import { type BlindBook, openBlindBook } from '../morning/blind.ts';
import { ON_TRIAL } from '../morning/list.ts';
import type { EventTopic } from '../protocol/client-message.ts';
import type { NightProgress } from '../protocol/night.ts';
import type { ServerMessage } from '../protocol/server-message.ts';
import type { BlindAnswer, BlindView } from '../protocol/summary.ts';
import type { Progress } from '../record/message.ts';
import type { TakenBack } from '../store/consent.ts';
import { isLearning } from '../store/deletion.ts';
import { type SwapParts, type SwapReport, type SwapTarget, swapTo } from '../swap/swap.ts';
import { beginAgain } from './again.ts';
import { hasLearntTakenBack, holdsTakenBack } from './consent.ts';
import { failureCode, isRepeated } from './failure.ts';
import { assertUnchanged, chosen, finishNight, recoverNights, takenIntoUse } from './finish.ts';
import { type Beginning, leftMs, shareOf } from './outlook.ts';
import {
  beginNight,
  findUnfinished,
  type GatherParts,
  type PlanParts,
  type PreparedNight,
} from './prepare.ts';
import { type NightProcess, startNightProcess } from './process.ts';
import { Trials } from './trials.ts';

export interface NightServiceOptions extends GatherParts, Omit<PlanParts, 'ledger'> {
  readonly engine: Engine;
  /** The server that speaks in its place. */
  readonly upstream?: SwapParts['upstream'];
  readonly logger: Logger;
  readonly publish: (topic: EventTopic, message: ServerMessage) => void;
  /** Compiled entry of the night's process, where it is another than the usual one. */
  readonly entry?: string;
}

interface Running {
  readonly night: NightId;
  readonly process: NightProcess;
  beginning?: Beginning;
  isStopped?: boolean;
  progress?: NightProgress;
}

export class NightService {
  readonly #options: NightServiceOptions;
  /** Nights that are only tried. */
  readonly trials: Trials;
  readonly #blind: BlindBook;
  #running: Running | undefined;
  #ended: Promise<void> = Promise.resolve();
  #starting: Promise<NightId> | undefined;
  /** What the night stands aside for: chat while it replies, other replies one by one. */
  #busy = 0;
  #activeAt: number | undefined;
  #failure: unknown;
  /** Why nights are not as they should be, until they are. */
  #trouble: Partial<Record<'start' | 'night' | 'device', string | undefined>> = {};

  constructor(options: NightServiceOptions) {
    this.#options = options;
    const { ledger } = options.store;
    this.#blind = openBlindBook(ledger);
    this.trials = new Trials({ ledger, blind: this.#blind, clock: options.clock });
    options.store.consent.watch({ letGo: (source) => this.#letGo(source) });
  }

  get ledger(): Ledger {
    return this.#options.store.ledger;
  }

  get progress(): NightProgress | undefined {
    return this.#running?.progress;
  }

  /** Process id of the night under way, for those who watch or end it from outside. */
  get pid(): number | undefined {
    return this.#running?.process.pid();
  }

  /** After a start: finishes what was committed and not finished. */
  recover(): Promise<void> {
    const finish = (manifest: Manifest): Promise<void> =>
      this.#finish(manifest).catch((error: unknown) => this.#failed(manifest.night, error));
    const recovered = this.ledger.turn(() => recoverNights(this.ledger, finish));
    this.#ended = recovered.catch(() => undefined);
    return recovered;
  }

  /**
   * Starts a night, or resumes the one that was cut off. Resolves when it is under way.
   * @throws night-running
   */
  async run(): Promise<NightId> {
    if (this.#running === undefined) await this.trials.end((id) => this.revert(id));
    return this.#begin(async () => (await this.#unfinished()) ?? (await beginNight(this.#options)));
  }

  async #unfinished(): Promise<PreparedNight | undefined> {
    const { logger, store } = this.#options;
    const parts = { ...this.#options, ledger: this.ledger };
    const onDiscard = (night: NightId, why: string): void =>
      logger.warn({ night, why }, 'a night that was cut off is discarded');
    const found = await findUnfinished(parts, onDiscard);
    if (found === undefined || !(await holdsTakenBack(found.folder, store))) return found;
    const { night } = found.plan;
    await this.ledger.discard(night);
    onDiscard(night, 'something that it learns from was taken back');
    return undefined;
  }

  /**
   * Trains a night again on what the person left of its dreams.
   * @param job a folder of a job that has trained it elsewhere @throws review-refused …
   */
  retrain(id: NightId, job?: string): Promise<NightId> {
    return this.#begin(async () => {
      const prepared = await beginAgain(id, { ...this.#options, ledger: this.ledger }, job);
      if (!(await holdsTakenBack(prepared.folder, this.#options.store))) return prepared;
      await this.ledger.discard(prepared.plan.night);
      const message = `Words of ${id} are still being taken out of it. Try again in a minute.`;
      throw new AttuneError('review-refused', message, { id });
    });
  }

  async #begin(prepare: () => Promise<PreparedNight>): Promise<NightId> {
    if (this.#running !== undefined || this.#starting !== undefined) {
      throw new AttuneError('night-running', 'A night is under way already.');
    }
    this.#starting = this.ledger.turn(async () => this.#start(await prepare()));
    try {
      return await this.#starting;
    } finally {
      this.#starting = undefined;
    }
  }

  /** A whole night, for the schedule. @throws what the night failed with */
  async runToEnd(): Promise<void> {
    await this.run().catch((error: unknown) => {
      if (!isAttuneError(error, 'night-running')) this.#setTrouble(error);
      throw error;
    });
    await this.#ended;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** When somebody was last answered, ms since 1970; undefined: not since the start. */
  get activeAt(): number | undefined {
    return this.#activeAt;
  }

  #start({ plan }: PreparedNight): NightId {
    this.#failure = undefined;
    this.#trouble = { start: this.#trouble.start };
    const { logger, entry } = this.#options;
    const process = startNightProcess({
      plan,
      logger,
      onProgress: (progress) => this.#onProgress(progress),
      onDeviceLost: (reason) => {
        const device = `The graphics card failed ${plan.night}, which went on on the CPU (${reason}).`;
        this.#trouble = { ...this.#trouble, device };
      },
      ...(entry === undefined ? {} : { entry }),
    });
    if (this.#busy > 0) process.pause();
    this.#running = { night: plan.night, process };
    logger.info({ night: plan.night }, 'night begins');
    // Heard at once, also where its process takes long to say something.
    this.#onProgress({ phase: 'gather', done: 0, total: null, facts: {} });
    this.#ended = process.result
      .then((manifest) => this.ledger.turn(() => this.#finish(manifest)))
      .catch((error: unknown) => this.#failed(plan.night, error))
      .finally(() => {
        this.#running = undefined;
      });
    return plan.night;
  }

  /** Why the active nights could not be loaded when the engine started; undefined: they were. */
  noteTrouble(start: string | undefined): void {
    this.#trouble = { ...this.#trouble, start };
  }

  #setTrouble(error: unknown): void {
    const night = reasonOf(error);
    this.#trouble = { ...this.#trouble, night };
  }

  /** What could not be read of the store, and what keeps nights from coming; a sentence each. */
  async problems(): Promise<string[]> {
    const { start, night, device } = this.#trouble;
    const own = [start, night, device].filter((one) => one !== undefined);
    return [...(await this.#options.store.damage()), ...own];
  }

  /** Resolves when no night runs. */
  ended(): Promise<void> {
    return this.#ended;
  }

  #onProgress({ phase, done, total, facts }: Omit<Progress, 'type'>): void {
    const running = this.#running;
    if (running === undefined) return;
    const at = this.#options.clock.now();
    const share = shareOf({ phase, done, total });
    // What a resumed night did before says nothing of its speed now.
    if (phase !== 'gather') running.beginning ??= { at, share };
    running.progress = {
      type: 'night-progress',
      nightId: running.night,
      phase,
      done,
      total,
      facts,
      share,
      leftMs: running.beginning === undefined ? null : leftMs(running.beginning, share, at),
      isPaused: this.#busy > 0,
      at,
    };
    this.#options.publish('nights', running.progress);
  }

  async #finish(manifest: Manifest): Promise<void> {
    const { publish, clock, logger, store, config } = this.#options;
    const finished = await finishNight(manifest, {
      ...this.#swapParts(),
      store,
      settings: config.night,
    });
    const { night } = manifest;
    const at = clock.now();
    if (finished.swap !== null) this.#publishSwap(finished.swap);
    const { verdict, reasons, headline, version } = finished;
    publish('nights', { type: 'night-end', nightId: night, verdict, reasons, version, at });
    const path = `/nights/${night}`;
    publish('nights', { type: 'summary-ready', nightId: night, path, headline, at });
    logger.info({ night, verdict }, headline);
  }

  /** Ends the running night at its next step; `run` goes on with it. @throws night-unknown */
  async stop(): Promise<NightId> {
    const running = this.#running;
    if (running === undefined) throw new AttuneError('night-unknown', 'No night is running.');
    running.isStopped = true;
    running.process.abort();
    await this.#ended;
    if ((await this.stopped()) === running.night) return running.night;
    throw new AttuneError('night-unknown', `${running.night} ended before it could be stopped.`);
  }

  /** The night that the next run goes on with; null while one is running. */
  async stopped(): Promise<NightId | null> {
    return this.#running === undefined ? ((await this.ledger.unfinished())[0] ?? null) : null;
  }

  #toldStopped(night: NightId): void {
    const at = this.#options.clock.now();
    const end = { nightId: night, version: null, reasons: [`${night} was stopped.`], at };
    this.#options.publish('nights', { type: 'night-end', verdict: 'stopped', ...end });
  }

  async #failed(night: NightId, error: unknown): Promise<void> {
    if (this.#running?.isStopped === true) return this.#toldStopped(night);
    this.#failure = error;
    const code = isAttuneError(error) ? error.code : 'night-failed';
    const said = reasonOf(error);
    const reason = (await this.#isGivenUp(night, error))
      ? `${said} It failed so before; ${night} was given up, and the next night begins anew.`
      : said;
    this.#setTrouble(new Error(`${night}: ${reason}`));
    const { publish, clock, logger } = this.#options;
    logger.error({ night, code, error }, reason);
    const end = { nightId: night, reasons: [reason], version: null, at: clock.now() };
    publish('nights', { type: 'night-end', verdict: 'failed', ...end });
  }

  /** Resumed is what was interrupted; what fails in the same way again is discarded. */
  async #isGivenUp(night: NightId, error: unknown): Promise<boolean> {
    const code = failureCode(error);
    if (code === undefined) return false;
    return this.ledger.turn(async () => {
      const isOver = await isRepeated(this.ledger.buildingOf(night), code);
      if (isOver) await this.ledger.discard(night);
      return isOver;
    });
  }

  #publishSwap(swap: SwapReport): void {
    this.#trouble = { ...this.#trouble, start: undefined };
    const { from, to, repliesInFlight, stallMs } = swap;
    const at = this.#options.clock.now();
    this.#options.publish('nights', { type: 'swap-end', from, to, repliesInFlight, stallMs, at });
  }

  /** Somebody is being answered: the night stands aside within one micro-step. */
  onBusy(): void {
    this.#busy += 1;
    if (this.#busy === 1) this.#running?.process.pause();
  }

  onIdle(): void {
    this.#busy -= 1;
    if (this.#busy > 0) return;
    this.#activeAt = this.#options.clock.now();
    this.#running?.process.resume();
  }

  /** The night stands aside while this reply is made. */
  async standAside<T>(reply: () => Promise<T>): Promise<T> {
    this.onBusy();
    try {
      return await reply();
    } finally {
      this.onIdle();
    }
  }

  /**
   * Takes a night's weights into use, also against its verdict; one that offers itself until the
   * next night. One on trial stays for good.
   * @throws night-unknown, swap-refused
   */
  approve(id: NightId): Promise<SwapReport | undefined> {
    return this.ledger.turn(async () => {
      if (this.trials.isOn(id)) return this.trials.keep(id);
      await this.#assertStatus(id, ['waiting', 'refused', 'rejected', 'reverted']);
      await this.#assertAllowed(id);
      const manifest = await this.ledger.read(id);
      const why = manifest.gate?.offered === true ? ON_TRIAL : 'approved by the person';
      return this.#swap(takenIntoUse(manifest, { ...this.#swapParts(), why }));
    });
  }

  /** Leaves a waiting night's weights unused. @throws night-unknown */
  reject(id: NightId): Promise<void> {
    return this.ledger.turn(async () => {
      await this.#assertStatus(id, ['waiting']);
      await this.#setRejected(id, 'rejected by the person');
    });
  }

  async #setRejected(id: NightId, why: string): Promise<void> {
    await this.ledger.setHead({ nights: { [id]: this.#status('rejected', why) } });
  }

  /** Pairs of replies for the person to judge blind. @throws night-unknown */
  blind(id: NightId): Promise<BlindView> {
    return this.#blind.read(id);
  }

  /** Keeps an answer; a waiting night whose old replies were preferred is rejected. */
  async answerBlind(id: NightId, answer: BlindAnswer): Promise<BlindView> {
    const view = await this.#blind.keep(id, answer, this.#options.clock.now());
    if (!view.isVeto) return view;
    await this.ledger.turn(async () => {
      const isWaiting = this.ledger.statusOf(await this.ledger.read(id)) === 'waiting';
      if (isWaiting) await this.#setRejected(id, 'the old replies were preferred blind');
    });
    return view;
  }

  /** Leaves the night out of the sum of active deltas. @throws night-unknown, swap-refused */
  revert(id: NightId): Promise<SwapReport> {
    return this.ledger.turn(async () => {
      await this.#assertStatus(id, ['in-force']);
      const nights = this.ledger.head().inForce.filter((night) => night !== id);
      const statuses = { [id]: this.#status('reverted', 'taken back by the person') };
      return this.#swap({ nights, statuses });
    });
  }

  /**
   * Goes to a list of active nights; none is the base model.
   * @throws swap-refused also when other nights became active since it was asked for
   */
  swapTo(nights: readonly NightId[]): Promise<SwapReport> {
    const asked = this.ledger.head().inForce;
    return this.ledger.turn(async () => {
      assertUnchanged(asked, this.ledger.head().inForce);
      for (const night of nights) if (!asked.includes(night)) await this.#assertAllowed(night);
      return this.#swap(chosen(nights, this.#swapParts()));
    });
  }

  /** In a turn: halfway through a deletion nothing would fit. */
  verify(): Promise<StoreVerification> {
    const { store, encoding } = this.#options;
    const speaking = { base: this.ledger.base, encoding };
    return this.ledger.turn(() => verifyLedgers(store.ledgers, speaking));
  }

  async #swap(target: SwapTarget): Promise<SwapReport> {
    const report = await swapTo(this.#swapParts(), target);
    this.#publishSwap(report);
    return report;
  }

  /** Weights that have learnt what the person took back come into use no more. */
  async #assertAllowed(id: NightId): Promise<void> {
    await this.ledger.read(id);
    if (!(await hasLearntTakenBack(this.ledger.folderOf(id), this.#options.store))) return;
    const message =
      `${id} has learnt from what was excluded, withdrawn or deleted since. ` +
      `Train it again without that: attune night retrain ${id}`;
    throw new AttuneError('swap-refused', message, { night: id });
  }

  #swapParts(): SwapParts {
    const { engine, clock, upstream } = this.#options;
    return { engine, clock, ledger: this.ledger, ...(upstream && { upstream }) };
  }

  #status(status: NightStatus, why: string) {
    return { status, at: new Date(this.#options.clock.now()).toISOString(), why };
  }

  async #assertStatus(id: NightId, allowed: readonly NightStatus[]): Promise<void> {
    const status = this.ledger.statusOf(await this.ledger.read(id));
    if (allowed.includes(status)) return;
    const message = `${id} is ${status}; this needs one that is ${allowed.join(' or ')}.`;
    throw new AttuneError('swap-refused', message, { night: id, status });
  }

  /** A night that learns from what is taken back ends, before what it gathered is discarded. */
  async #letGo(source: TakenBack): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const { night, process } = running;
    if (!(await isLearning(this.ledger, night, source))) return;
    process.abort(`${night} was ended: a ${source.kind} that it learns from was ${source.what}.`);
    // What follows the process takes a turn of its own, after this one.
    await process.result.catch(() => undefined);
  }

  /** Stops a running night between two micro-steps; it is resumed after the next start. */
  async close(): Promise<void> {
    this.#running?.process.abort();
    await this.#ended;
  }
}
