// A night whose process is killed again and again ends all the same, whole and once.
import { afterAll, beforeAll, it, vi } from 'vitest';
import { killNight } from './night-kill.ts';
import { flagTwo, type Loop, openLoop } from './open-loop.ts';

// A night is run and killed.
vi.setConfig({ testTimeout: 60_000 });

let loop: Loop;
beforeAll(async () => {
  loop = await openLoop();
  await flagTwo(loop);
}, 60_000);
afterAll(() => loop?.close());

it('is resumed at its phase and training step after each of four kills', async () => {
  await killNight(loop, { kills: 4, seed: 1, everyMs: 3000 });
}, 300_000);
