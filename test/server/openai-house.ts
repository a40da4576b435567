// What the tests of OpenAI's API share: a daemon, the openai client of it, and what the model says.
import OpenAI from 'openai';
import { afterAll, beforeAll } from 'vitest';
import { END_ID, idsOf } from '../fakes/fake-tokenizer.ts';
import { echo, openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

export interface OpenaiHouse {
  readonly daemon: TestDaemon;
  readonly client: OpenAI;
  /** What the model says; undefined: an echo. */
  said: string | undefined;
}

/** To be called once in a file; daemon and client are there once its tests begin. */
export function openOpenaiHouse(): OpenaiHouse {
  const house: { said: string | undefined; daemon?: TestDaemon; client?: OpenAI } = {
    said: undefined,
  };
  beforeAll(async () => {
    const daemon = await openTestDaemon({
      reply: (request) =>
        house.said === undefined ? echo(request) : [...idsOf(house.said), END_ID],
    });
    house.daemon = daemon;
    house.client = new OpenAI({ apiKey: 'none', baseURL: `${daemon.url}/v1`, maxRetries: 0 });
  });
  afterAll(() => house.daemon?.end());
  return house as OpenaiHouse;
}
