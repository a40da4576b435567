// Reads nights over plain HTTP; the live progress comes over the WebSocket.
import { signal } from '@preact/signals';
import { answeredError } from '../../../src/protocol/daemon-client.ts';
import type {
  BlindAnswer,
  BlindView,
  NightList,
  NightView,
  OfferedDecision,
  ReviewRequest,
  ReviewView,
  SliderReply,
  SliderView,
  TrialView,
} from '../../../src/protocol/summary.ts';
import { token } from '../connection.ts';
import { night } from '../page-state.ts';

/** A night's status in words. */
export const STATUS = {
  'in-force': 'in use',
  waiting: 'waits for you',
  refused: 'not recommended',
  rejected: 'left',
  reverted: 'taken back',
  empty: 'nothing to learn',
} as const;

/** "3 March 2026" */
export const dayText = (day: string): string =>
  new Date(`${day}T12:00`).toLocaleDateString(undefined, { dateStyle: 'long' });

async function call<T>(path: string, body?: unknown, root = '/api/nights'): Promise<T> {
  const secret = token();
  const response = await fetch(root + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(secret ? { authorization: `Bearer ${secret}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(() => {
    const message = 'There is no connection right now.';
    throw answeredError({ code: 'daemon-unreachable', message, facts: {} });
  });
  const answer = await response.json();
  if (!response.ok) throw answeredError(answer.error);
  return answer as T;
}

export const nights = signal<NightList | null>(null);

export async function loadNights(): Promise<void> {
  const list = await call<NightList>('');
  nights.value = list;
  night.value = list.running;
}
/** The id of a finished night that came with Attune: recorded, and of nobody here. */
export const RECORDED = 'recorded';

interface Recording {
  readonly about: string;
  readonly night: NightView;
  readonly slider: SliderView;
  /** By flag, then by stop. */
  readonly replies: Readonly<Record<string, readonly string[]>>;
}

let recording: Promise<Recording> | undefined;
export const recorded = (): Promise<Recording> => {
  recording ??= fetch('/recorded-night.json').then((response) => response.json());
  return recording;
};

const NO_PAIRS: BlindView = { pairs: [], tally: null, isVeto: false };
export const loadSummary = (id: string): Promise<NightView> =>
  id === RECORDED ? recorded().then(({ night }) => night) : call(`/${id}`);
export const loadBlind = (id: string): Promise<BlindView> =>
  id === RECORDED ? Promise.resolve(NO_PAIRS) : call(`/${id}/blind`);
export const answerBlind = (id: string, answer: BlindAnswer): Promise<BlindView> =>
  call(`/${id}/blind`, answer);
export const loadTrial = (id: string): Promise<TrialView> => call(`/${id}/trial`);
export const answerTrial = (id: string, answer: BlindAnswer): Promise<TrialView> =>
  call(`/${id}/trial`, answer);
export const loadSlider = (id: string): Promise<SliderView> =>
  id === RECORDED ? recorded().then(({ slider }) => slider) : call(`/${id}/slider`);
export const sliderReply = async (
  id: string,
  flagId: string,
  stop: number,
): Promise<Pick<SliderReply, 'text'>> =>
  id === RECORDED
    ? { text: (await recorded()).replies[flagId]?.[stop] ?? '' }
    : call(`/${id}/slider/reply`, { flagId, stop });
export const loadReview = (id: string): Promise<ReviewView> => call(`/${id}/review`);
export const changeDream = (id: string, request: ReviewRequest): Promise<ReviewView> =>
  call(`/${id}/review`, request);
export const decideOffered = (decision: OfferedDecision): Promise<unknown> =>
  call('/offered', decision);
export const retrain = (id: string): Promise<unknown> => call(`/${id}/retrain`, {});
/** These nights' weights and no others, in order; none is the base model. */
export const swapTo = (nights: readonly string[]): Promise<unknown> =>
  call('', { nights }, '/api/swap');
export const runNight = (): Promise<unknown> => call('/run', {});
export const stopNight = (): Promise<unknown> => call('/stop', {});
export const decide = (id: string, decision: 'approve' | 'reject' | 'revert'): Promise<unknown> =>
  call(`/${id}/${decision}`, {});
