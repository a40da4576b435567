import { describe, expect, it } from 'vitest';
import {
  fingerprintsAt,
  fingerprintsOf,
  type SaidMessage,
} from '../../src/conversation/fingerprint.ts';
import { foreignReply, type LogRecord } from '../../src/conversation/record.ts';
import { applyRecord, emptyState, type MutableState } from '../../src/conversation/state.ts';
import { fc } from '../property.ts';

function talk(origin: 'live' | 'openai' = 'openai'): MutableState {
  return { ...emptyState('t'), origin, entries: [], known: new Map() };
}

const message = (id: string, text = id): LogRecord => ({ type: 'message', id, at: 1, text });
const reply = (id: string, messageId: string, replaces: string | null = null): LogRecord => ({
  ...foreignReply({ id, messageId, at: 1, text: id }),
  replaces,
});

/** What an OpenAI client would send back of this talk. */
function saidIn({ entries }: MutableState): SaidMessage[] {
  return entries.flatMap((entry): SaidMessage[] => {
    if (entry.type === 'message') return [{ role: 'user', text: entry.text }];
    return entry.isSuperseded ? [] : [{ role: 'assistant', text: entry.text }];
  });
}

/** Of a request in which that was said. */
async function fingerprint(systemPrompt: string, said: readonly SaidMessage[]): Promise<string> {
  const before = said.slice(0, -1);
  const last = said.at(-1);
  if (last === undefined) return (await fingerprintsAt(systemPrompt, [], user(''))).said;
  const { asked } = await fingerprintsAt(systemPrompt, before, last);
  const { said: same } = await fingerprintsAt(systemPrompt, said, user('more'));
  expect(same).toBe(asked);
  return asked;
}

const user = (text: string): SaidMessage => ({ role: 'user', text });

describe('fingerprints of a talk', () => {
  it('are those of what a client sends back, however the talk came to be', async () => {
    const step = fc.constantFrom('message', 'reply', 'again', 'old', 'look');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const state = talk();
        for (const [at, what] of steps.entries()) {
          const last = state.entries.findLast(({ type }) => type === 'message');
          const replies = state.entries.filter((one) => one.type === 'reply');
          const first = replies.find(({ isSuperseded }) => !isSuperseded);
          const before = state.entries.at(-1);
          if (what === 'message') applyRecord(state, message(`m${at}`));
          if (what === 'reply' && last) applyRecord(state, reply(`r${at}`, last.id));
          if (what === 'again' && last && before?.type === 'reply') {
            applyRecord(state, reply(`r${at}`, last.id, before.id));
          }
          // A reply far back is replaced: what was hashed after it no longer holds.
          if (what === 'old' && first) {
            applyRecord(state, reply(`r${at}`, first.messageId, first.id));
          }
          if (what === 'look') fingerprintsOf(state);
        }
        const said = saidIn(state);
        const asked = said.slice(0, said.findLastIndex(({ role }) => role === 'user') + 1);
        expect(fingerprintsOf(state)).toEqual({
          asked: await fingerprint('', asked),
          said: await fingerprint('', said),
        });
      }),
      // Two replies to one message, the second of them replaced after it was hashed.
      { numRuns: 500, examples: [[['message', 'reply', 'reply', 'look', 'again']]] },
    );
  });

  it('do not mind blanks at the ends, which clients trim, and nothing else', async () => {
    const of = (text: string) => fingerprint('', [{ role: 'user', text }]);
    const hello = await of('hello');
    expect(await of(' hello\n')).toBe(hello);
    expect(await of('hel lo')).not.toBe(hello);
    expect(await fingerprint('', [{ role: 'assistant', text: 'hello' }])).not.toBe(hello);
    expect(await fingerprint('Be brief.', [user('hello')])).not.toBe(hello);
  });

  it('give away no talk that is not of that route for the words of its last message', async () => {
    const state = talk('live');
    applyRecord(state, message('hello'));
    expect(fingerprintsOf(state).asked).toBeNull();
    expect(fingerprintsOf(state).said).toBe(await fingerprint('', [user('hello')]));
  });

  it('follow the system prompt of the talk', async () => {
    const state = talk();
    applyRecord(state, message('hello'));
    const before = fingerprintsOf(state);
    state.settings = { systemPrompt: 'Be brief.' };
    const said = [{ role: 'user', text: 'hello' }] as const;
    expect(fingerprintsOf(state).said).toBe(await fingerprint('Be brief.', said));
    expect(fingerprintsOf(state).said).not.toBe(before.said);
  });
});
