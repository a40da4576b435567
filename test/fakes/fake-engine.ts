// A deterministic Engine for tests of what stands above it: scripted replies, no model.
import { setTimeout as sleep } from 'node:timers/promises';
import { AttuneError } from '../../src/base/errors.ts';
import type {
  AttentionCapture,
  CaptureRequest,
  DecodedToken,
  Engine,
  EngineDescription,
  GenerateRequest,
  GenerateResult,
  ScoreRequest,
  StopReason,
  SwitchResult,
  VersionRun,
  VersionSource,
} from '../../src/engine/engine.ts';

export interface FakeEngineOptions {
  /** The whole reply to a request, before `replyTokensMax` and stop ids cut it. */
  readonly reply?: (request: GenerateRequest) => readonly number[];
  /** Between two tokens; 0 still yields to the event loop. */
  readonly tokenDelayMs?: number;
  readonly windowTokens?: number;
  readonly vocabularySize?: number;
  readonly version?: string;
}

/** Counts up from the last prompt id, modulo the vocabulary. */
const countUp =
  (vocabularySize: number) =>
  (request: GenerateRequest): number[] => {
    const last = request.ids.at(-1) ?? 0;
    return Array.from(
      { length: request.replyTokensMax },
      (_, i) => (last + 1 + i) % vocabularySize,
    );
  };

export class FakeEngine implements Engine {
  /** Everything that was asked, oldest first. */
  readonly requests: GenerateRequest[] = [];
  readonly forgotten: string[] = [];
  isClosed = false;
  readonly #windowTokens: number;
  readonly #vocabularySize: number;
  readonly #tokenDelayMs: number;
  readonly #reply: (request: GenerateRequest) => readonly number[];
  readonly #versions = new Set<string>();
  readonly #cached = new Map<string, { ids: readonly number[]; version: string }>();
  #version: string;
  #inFlight = 0;
  #failure: AttuneError | undefined;

  constructor(options: FakeEngineOptions = {}) {
    this.#windowTokens = options.windowTokens ?? 2048;
    this.#vocabularySize = options.vocabularySize ?? 512;
    this.#tokenDelayMs = options.tokenDelayMs ?? 0;
    this.#reply = options.reply ?? countUp(this.#vocabularySize);
    this.#version = options.version ?? 'v0';
    this.#versions.add(this.#version);
  }

  /** From now on the engine is dead, as when its process was killed; `revive` undoes it. */
  die(): void {
    this.#failure = new AttuneError('engine-failed', 'the engine process ended: SIGKILL', {
      interrupted: true,
    });
    this.#cached.clear();
  }

  revive(): void {
    this.#failure = undefined;
  }

  get repliesInFlight(): number {
    return this.#inFlight;
  }

  async describe(): Promise<EngineDescription> {
    this.#assertAlive();
    return {
      modelId: 'fake',
      modelDir: '/fake',
      baseHash: '0'.repeat(64),
      device: 'cpu',
      layers: 2,
      heads: 2,
      vocabularySize: this.#vocabularySize,
      windowTokens: this.#windowTokens,
      parameters: 1000,
      isQuantised: false,
      version: this.#version,
      notices: [],
    };
  }

  async generate(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    this.#assertAlive();
    this.requests.push(request);
    this.#assertFits(request.ids.length + 1);
    if (request.version !== undefined) this.#assertKnown(request.version);
    this.#inFlight++;
    try {
      return await this.#decode(request, onToken, signal);
    } finally {
      this.#inFlight--;
    }
  }

  async #decode(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    const reusedTokens = this.#reused(request);
    const room = this.#windowTokens - request.ids.length;
    const script = this.#reply(request).slice(0, Math.min(request.replyTokensMax, room));
    const ids: number[] = [];
    const runs: [number, number, string][] = [];
    let stopReason: StopReason = 'length';
    for (const id of script) {
      await sleep(this.#tokenDelayMs);
      this.#assertAlive();
      if (signal?.aborted === true || request.stopIds.includes(id)) {
        stopReason = signal?.aborted === true ? 'aborted' : 'stop';
        break;
      }
      const version = request.version ?? this.#version;
      const run = runs.at(-1);
      if (run?.[2] === version) run[1]++;
      else runs.push([ids.length, ids.length + 1, version]);
      ids.push(id);
      onToken({ id, logprob: -0.5, version, ...this.#top(request, id) });
    }
    if (request.cacheKey !== undefined) {
      const all = [...request.ids, ...ids];
      this.#cached.set(request.cacheKey, { ids: all, version: request.version ?? this.#version });
    }
    const versionRuns: VersionRun[] = runs;
    return { ids, stopReason, promptTokens: request.ids.length, reusedTokens, versionRuns };
  }

  async score(request: ScoreRequest): Promise<Float32Array[]> {
    this.#assertAlive();
    return request.sequences.map(({ ids, from }) => {
      this.#assertFits(ids.length);
      return Float32Array.from(ids.slice(from), (id) => -((id % 7) + 1) / 4);
    });
  }

  async capture(request: CaptureRequest): Promise<AttentionCapture> {
    this.#assertAlive();
    const keys = request.ids.length;
    const { rows } = request;
    const weights = new Float32Array(2 * 2 * rows.length * keys);
    for (let line = 0; line < 2 * 2 * rows.length; line++) {
      const visible = (rows[line % rows.length] as number) + 1;
      weights.fill(1 / visible, line * keys, line * keys + visible);
    }
    return { layers: 2, heads: 2, rows, keys, weights };
  }

  async loadVersion(source: VersionSource): Promise<void> {
    this.#assertAlive();
    for (const id of this.#versions) if (id !== this.#version) this.#versions.delete(id);
    this.#versions.add(source.id);
  }

  async switchVersion(id: string): Promise<SwitchResult> {
    this.#assertAlive();
    this.#assertKnown(id);
    const from = this.#version;
    this.#version = id;
    return { from, to: id, repliesInFlight: this.#inFlight, stallMs: 0 };
  }

  async forget(cacheKey: string): Promise<void> {
    this.forgotten.push(cacheKey);
    this.#cached.delete(cacheKey);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #top(request: GenerateRequest, id: number): Pick<DecodedToken, 'top'> {
    const count = request.topLogprobs ?? 0;
    if (count === 0) return {};
    const rank = (i: number) => ({ id: (id + i) % this.#vocabularySize, logprob: -0.5 - i });
    return { top: Array.from({ length: count }, (_, i) => rank(i)) };
  }

  #reused(request: GenerateRequest): number {
    const entry = request.cacheKey === undefined ? undefined : this.#cached.get(request.cacheKey);
    if (entry === undefined) return 0;
    if (entry.version !== (request.version ?? this.#version) && !request.keepCache) return 0;
    let common = 0;
    while (common < entry.ids.length && entry.ids[common] === request.ids[common]) common++;
    return Math.min(common, request.ids.length - 1);
  }

  #assertFits(tokens: number): void {
    if (tokens <= this.#windowTokens) return;
    throw new AttuneError('window-overflow', `${tokens} tokens exceed ${this.#windowTokens}`);
  }

  #assertKnown(version: string): void {
    if (this.#versions.has(version)) return;
    throw new AttuneError('version-unknown', `version ${version} is not loaded`, { version });
  }

  #assertAlive(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
