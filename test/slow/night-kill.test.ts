// Twenty nights, five kills each, at random moments of every phase.
import { afterAll, beforeAll, it } from 'vitest';
import { killNight } from '../system/night-kill.ts';
import { flagTwo, type Loop, openLoop } from '../system/open-loop.ts';

let loop: Loop;
beforeAll(async () => {
  loop = await openLoop();
  await flagTwo(loop);
}, 60_000);
afterAll(() => loop?.close());

it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
  'night %i survives five kills',
  async (seed) => {
    await killNight(loop, { kills: 5, seed, everyMs: 4000 });
  },
);
