// Twenty nights, five kills each, at random moments of every phase.
import { afterAll, beforeAll, it } from 'vitest';
import { TestClient } from '../server/test-client.ts';
import { killNight } from '../system/night-kill.ts';
import { flagMoment, type Loop, openLoop } from '../system/open-loop.ts';

let loop: Loop;
beforeAll(async () => {
  loop = await openLoop();
  const client = await TestClient.open(loop.daemon.port);
  await client.hello();
  await flagMoment(client, { id: '0', direction: 'Book the blue room.' });
  await flagMoment(client, { id: '1', direction: 'Call Mira at nine.' });
  client.kill();
}, 60_000);
afterAll(() => loop?.close());

it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
  'night %i survives five kills',
  async (seed) => {
    await killNight(loop, { kills: 5, seed, everyMs: 4000 });
  },
);
