// HTTP routes of the nights: list, summary, slider, run, decide.
import { z } from 'zod';
import type { Talks } from '../chat/talks.ts';
import { NIGHT_ID } from '../ledger/manifest.ts';
import { listNights, readSummary } from '../morning/list.ts';
import { changeDream, reviewView } from '../morning/review.ts';
import { type SliderParts, sliderReply, sliderView } from '../morning/slider.ts';
import type { NightService } from '../night/service.ts';
import { parseWith } from '../protocol/codec.ts';
import { ReviewRequest } from '../protocol/review.ts';
import {
  BlindAnswer,
  type NightList,
  OfferedDecision,
  SliderReplyRequest,
} from '../protocol/summary.ts';
import type { Schedule } from '../schedule/job-schedule.ts';
import { versionOf } from '../swap/swap.ts';
import { type Route, type RouteContext, sendJson } from './route.ts';

export interface NightRouteOptions {
  readonly nights: NightService;
  readonly talks: Pick<Talks, 'offered' | 'decide'>;
  readonly slider: SliderParts;
  /** Undefined: nights come only when they are asked for. */
  readonly schedule: Pick<Schedule, 'next'> | undefined;
}

const nightOf = ({ params }: RouteContext): string =>
  parseWith(z.string().regex(NIGHT_ID), params.id);

/** Also while the engine is down: it comes back on the version of the ledger. */
async function versionNow({ engine, ledger }: SliderParts): Promise<string> {
  try {
    return (await engine.describe()).version;
  } catch {
    return (await versionOf(ledger, ledger.head().inForce)).id;
  }
}

export function nightRoutes({ nights, talks, slider, schedule }: NightRouteOptions): Route[] {
  const get = (pattern: string, answer: (context: RouteContext) => Promise<unknown>): Route => ({
    method: 'GET',
    pattern,
    handle: async (context) => sendJson(context.response, await answer(context)),
  });
  const post = (pattern: string, answer: (context: RouteContext) => Promise<unknown>): Route => ({
    method: 'POST',
    pattern,
    handle: async (context) => sendJson(context.response, (await answer(context)) ?? {}),
  });
  return [
    get('/api/nights', async (): Promise<NightList> => {
      const version = await versionNow(slider);
      const lines = await listNights(nights.ledger);
      const nextAt = schedule?.next() ?? null;
      const problems = await nights.problems();
      const running = nights.progress ?? null;
      return { nights: lines, running, nextAt, version, problems, offered: talks.offered() };
    }),
    post('/api/nights/offered', async (context) => ({
      decided: await talks.decide(await context.readBody(OfferedDecision)),
    })),
    get('/api/nights/:id', (context) => readSummary(nights.ledger, nightOf(context))),
    get('/api/nights/:id/blind', (context) => nights.blind(nightOf(context))),
    post('/api/nights/:id/blind', async (context) =>
      nights.answerBlind(nightOf(context), await context.readBody(BlindAnswer)),
    ),
    get('/api/nights/:id/slider', (context) => sliderView(slider, nightOf(context))),
    post('/api/nights/:id/slider/reply', async (context) => {
      const request = await context.readBody(SliderReplyRequest);
      return nights.standAside(() =>
        sliderReply(slider, nightOf(context), request, context.signal),
      );
    }),
    get('/api/nights/:id/review', (context) => reviewView(nights.ledger, nightOf(context))),
    post('/api/nights/:id/review', async (context) =>
      changeDream(nights.ledger, nightOf(context), {
        request: await context.readBody(ReviewRequest),
        at: new Date().toISOString(),
      }),
    ),
    post('/api/nights/:id/retrain', async (context) => ({
      nightId: await nights.retrain(nightOf(context)),
    })),
    post('/api/nights/run', async () => ({ nightId: await nights.run() })),
    post('/api/nights/verify', () => nights.verify()),
    post('/api/nights/:id/approve', (context) => nights.approve(nightOf(context))),
    post('/api/nights/:id/reject', (context) => nights.reject(nightOf(context))),
    post('/api/nights/:id/revert', (context) => nights.revert(nightOf(context))),
    post('/api/swap', async (context) => {
      const body = await context.readBody(
        z.strictObject({ nights: z.array(z.string().regex(NIGHT_ID)) }),
      );
      return nights.swapTo(body.nights);
    }),
  ];
}
