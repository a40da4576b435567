import { beforeEach, describe, expect, it } from 'vitest';
import type { Conversation } from '../../src/night/gather.ts';
import { type RememberOptions, rememberConversations } from '../../src/night/prepare.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import type { Store } from '../../src/store/store.ts';
import { NOW, openNightStore } from './night-store.ts';

const MINUTE = 60_000;
let store: Store;
let asked: number;
beforeEach(async () => {
  ({ store } = await openNightStore());
  asked = 0;
});

const conversation = (id: string, at: number): Conversation => ({
  id,
  canLearn: true,
  rendering: { at, variables: {} },
  replaced: [],
  messages: [{ id: `${id}-m`, role: 'user', content: `Please remember the ${id} jam.`, at }],
});

const moment = (cluster: string, isHeldBack: boolean): FlaggedMoment => ({
  ...{ flagId: `flag-${cluster}`, strength: 3, isHeldBack, kind: 'missed' },
  context: {
    ...{ id: 'c', kind: 'listen', messages: [{ role: 'user', content: 'Jam.' }], spans: [] },
    source: { origin: 'flag', cluster, domain: 'talk' },
  },
});

const remember = (
  conversations: readonly Conversation[],
  options: Partial<RememberOptions> = {},
): Promise<void> =>
  rememberConversations(store.memory, new Map(conversations.map((one) => [one.id, one])), {
    ...{ flagged: [], now: NOW, restMinutes: 30 },
    surpriseOf: async () => {
      asked += 1;
      return undefined;
    },
    ...options,
  });

const remembered = (): string[] => store.memory.list().map(({ gist }) => gist.conversationId);

describe('remembering', () => {
  it('compresses what rests and lets what goes on wait', async () => {
    await remember([
      conversation('quince', NOW - 31 * MINUTE),
      conversation('plum', NOW - 29 * MINUTE),
    ]);
    expect(remembered()).toEqual(['quince']);
  });

  it('compresses a conversation again only when it has grown', async () => {
    const before = conversation('quince', NOW - 40 * MINUTE);
    await remember([before]);
    await remember([before]);
    expect(asked).toBe(1);
    const more = {
      id: 'm2',
      role: 'user' as const,
      content: 'And the pears.',
      at: NOW - 35 * MINUTE,
    };
    await remember([{ ...before, messages: [...before.messages, more] }]);
    expect(store.memory.list()[0]?.gist.turns).toBe(2);
    expect(asked).toBe(2);
  });

  it('takes a message from the future for one that rests, dated now', async () => {
    await remember([conversation('quince', NOW + 90 * MINUTE)]);
    expect(store.memory.list()[0]?.gist.restedAt).toBe(NOW);
  });

  it('counts flags and surprise, and marks what a held-back flag belongs to', async () => {
    const conversations = ['quince', 'plum'].map((id) => conversation(id, NOW - 31 * MINUTE));
    await remember(conversations.slice(0, 1));
    await remember(conversations, { flagged: [moment('plum', true)], surpriseOf: async () => 6 });
    const gists = new Map(store.memory.list().map(({ gist }) => [gist.conversationId, gist]));
    expect(gists.get('quince')).toMatchObject({
      isHeldBack: false,
      inputs: { flags: 0, surprise: 0 },
    });
    expect(gists.get('plum')).toMatchObject({ isHeldBack: true });
    expect(gists.get('plum')?.inputs.flags).toBeGreaterThan(0);
    expect(gists.get('plum')?.inputs.surprise).toBeGreaterThan(0);
  });

  it('forgets what has faded, but not that it was forgotten', async () => {
    await remember([conversation('quince', NOW - 10 * 365 * 24 * 60 * MINUTE)]);
    expect(remembered()).toEqual([]);
    expect(store.memory.forgotten).toMatchObject([{ conversationId: 'quince', reason: 'faded' }]);
  });

  it('measures the surprise of the first 64 conversations of a night', async () => {
    await remember(
      Array.from({ length: 70 }, (_, i) => conversation(`jam-${i}`, NOW - 60 * MINUTE)),
    );
    expect(asked).toBe(64);
    expect(remembered()).toHaveLength(70);
  });
});
