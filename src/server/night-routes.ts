// HTTP routes of the nights: list, summary, slider, run, decide.
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import type { Conversations } from '../chat/conversations.ts';
import { answerTrial, type TrialParts, trialView } from '../chat/trial.ts';
import { NIGHT_ID } from '../ledger/manifest.ts';
import { listNights, readSummary } from '../morning/list.ts';
import { changeDream, reviewView } from '../morning/review.ts';
import { type SliderParts, sliderReply, sliderView } from '../morning/slider.ts';
import type { NightService } from '../night/service.ts';
import {
  BlindAnswer,
  type NightList,
  OfferedDecision,
  ReviewRequest,
  SliderReplyRequest,
} from '../protocol/summary.ts';
import type { Schedule } from '../schedule/job-schedule.ts';
import { versionOf } from '../swap/swap.ts';
import { type Route, type RouteContext, route } from './route.ts';

export interface NightRouteOptions {
  readonly nights: NightService;
  readonly conversations: Pick<Conversations, 'offered' | 'decide'>;
  readonly slider: SliderParts;
  readonly trial: TrialParts;
  /** Undefined: nights come only when they are asked for. */
  readonly schedule: Pick<Schedule, 'next'> | undefined;
}

function nightOf({ params: { id = '' } }: RouteContext): string {
  if (NIGHT_ID.test(id)) return id;
  const message = `There is no night "${id}". The nights are listed by: attune night list`;
  throw new AttuneError('night-unknown', message, { id });
}

/** Also while the engine is down: it comes back on the version of the ledger. */
async function versionNow({ engine, ledger }: SliderParts): Promise<string> {
  try {
    return (await engine.describe()).version;
  } catch {
    return (await versionOf(ledger, ledger.head().inForce)).id;
  }
}

async function listOf(options: NightRouteOptions): Promise<NightList> {
  const { nights, conversations, slider, schedule } = options;
  return {
    nights: await listNights(nights.ledger),
    running: nights.progress ?? null,
    stopped: await nights.stopped(),
    nextAt: schedule?.next() ?? null,
    version: await versionNow(slider),
    problems: await nights.problems(),
    offered: conversations.offered(),
  };
}

export function nightRoutes(options: NightRouteOptions): Route[] {
  const { nights, conversations, slider } = options;
  return [
    route('GET', '/api/nights', () => listOf(options)),
    route('POST', '/api/nights/offered', async (context) => ({
      decided: await conversations.decide(await context.readBody(OfferedDecision)),
    })),
    route('GET', '/api/nights/:id', (context) => readSummary(nights.ledger, nightOf(context))),
    route('GET', '/api/nights/:id/blind', (context) => nights.blind(nightOf(context))),
    route('POST', '/api/nights/:id/blind', async (context) =>
      nights.answerBlind(nightOf(context), await context.readBody(BlindAnswer)),
    ),
    route('GET', '/api/nights/:id/trial', (context) =>
      nights.standAside(() => trialView(options.trial, nightOf(context), context.signal)),
    ),
    route('POST', '/api/nights/:id/trial', async (context) => {
      const answer = await context.readBody(BlindAnswer);
      await answerTrial(options.trial, nightOf(context), answer);
      return nights.standAside(() => trialView(options.trial, nightOf(context), context.signal));
    }),
    route('GET', '/api/nights/:id/slider', (context) => sliderView(slider, nightOf(context))),
    route('POST', '/api/nights/:id/slider/reply', async (context) => {
      const request = await context.readBody(SliderReplyRequest);
      return nights.standAside(() =>
        sliderReply(slider, nightOf(context), request, context.signal),
      );
    }),
    route('GET', '/api/nights/:id/review', (context) =>
      reviewView(nights.ledger, nightOf(context)),
    ),
    route('POST', '/api/nights/:id/review', async (context) =>
      changeDream(nights.ledger, nightOf(context), {
        request: await context.readBody(ReviewRequest),
        at: new Date().toISOString(),
      }),
    ),
    route('POST', '/api/nights/:id/retrain', async (context) => {
      const { job } = await context.readBody(z.strictObject({ job: z.string().optional() }));
      return { nightId: await nights.retrain(nightOf(context), job) };
    }),
    route('POST', '/api/nights/run', async () => ({ nightId: await nights.run() })),
    route('POST', '/api/nights/stop', async () => ({ nightId: await nights.stop() })),
    route('POST', '/api/nights/verify', () => nights.verify()),
    ...(['approve', 'reject', 'revert'] as const).map((decision) =>
      route('POST', `/api/nights/:id/${decision}`, async (context) => {
        return (await nights[decision](nightOf(context))) ?? {};
      }),
    ),
    route('POST', '/api/swap', async (context) => {
      const body = await context.readBody(
        z.strictObject({ nights: z.array(z.string().regex(NIGHT_ID)) }),
      );
      return nights.swapTo(body.nights);
    }),
  ];
}
