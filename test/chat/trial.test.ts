// A night on trial, over HTTP: pairs of what was said since, blind, and what the choices come to.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { versionOf } from '../../src/swap/swap.ts';
import { END_ID, idsOf } from '../fakes/fake-tokenizer.ts';
import { postJson } from '../morning/committed-night.ts';
import { commitNight } from '../night/night-store.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

let daemon: TestDaemon;
let id: string;
/** What the base says where the night says otherwise. */
let base: string | undefined;
/** The version without the night. */
let without: string;

beforeEach(async () => {
  base = 'The old one.';
  daemon = await openTestDaemon({
    reply: ({ version }) => {
      const says = version === without ? base : undefined;
      return [...idsOf(says ?? 'The new one.'), END_ID];
    },
  });
  without = (await versionOf(daemon.store.ledger, [])).id;
  ({ night: id } = await commitNight(daemon.store, { passed: false, isOffered: true }));
});
afterEach(() => daemon.end());

const trial = async (answer?: object) => {
  const url = `${daemon.url}/api/nights/${id}/trial`;
  const response = await (answer === undefined ? fetch(url) : postJson(url, answer));
  // biome-ignore lint/suspicious/noExplicitAny: what the daemon answers is what is looked at
  return { status: response.status, body: (await response.json()) as any };
};

async function begin(): Promise<void> {
  const at = new Date().toISOString();
  await daemon.store.ledger.setHead({ nights: { [id]: { status: 'waiting', at, why: '' } } });
  await postJson(`${daemon.url}/api/nights/${id}/approve`, {});
  expect(daemon.nights.trials.isOn(id)).toBe(true);
}

it('a night that is not on trial has no pairs', async () => {
  expect(await trial()).toMatchObject({ status: 404, body: { error: { code: 'night-unknown' } } });
});

it('answers what was said on trial with it and without it, and counts what is preferred', async () => {
  const client = await daemon.connect();
  await client.say('before', 'm0', 'Said before the trial.');
  await begin();
  expect((await trial()).body).toEqual({
    pair: null,
    tally: { old: 0, new: 0, same: 0 },
    stays: false,
  });
  await client.say('c', 'm1', 'Close the window.');
  const { body } = await trial();
  expect(body.pair).toMatchObject({ flagId: 'm1', direction: 'Close the window.' });
  expect([body.pair.a, body.pair.b].sort()).toEqual(['The new one.', 'The old one.']);
  const choice = body.pair.a === 'The new one.' ? 'a' : 'b';
  const answered = await trial({ flagId: 'm1', choice });
  expect(answered.body).toMatchObject({ pair: null, tally: { old: 0, new: 1 }, stays: true });
  // The first answer counts.
  await trial({ flagId: 'm1', choice: choice === 'a' ? 'b' : 'a' });
  expect((await trial()).body.tally).toEqual({ old: 0, new: 1, same: 0 });
  expect((await trial({ flagId: 'm0', choice: 'a' })).body.error.code).toBe('message-not-found');
  expect((await trial({ flagId: 'm1', choice: 'c' })).body.error.code).toBe('message-invalid');
});

it('passes over what both answer alike, and what was deleted', async () => {
  const client = await daemon.connect();
  await begin();
  await client.say('c', 'm1', 'Close the window.');
  base = undefined;
  expect((await trial()).body.pair).toBeNull();
  base = 'The old one.';
  client.send({ type: 'conversation-delete', conversationId: 'c' });
  await client.next('conversation-deleted');
  expect((await trial()).body.pair).toBeNull();
});
