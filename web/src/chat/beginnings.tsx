// What a newcomer can begin with: three things to say that show listening, a prepared moment in
// which a model did not listen, and the recording of a night.
import type { VNode } from 'preact';
import { isDemonstration } from '../../../src/protocol/demonstration.ts';
import { newId, token } from '../connection.ts';
import { follow, go } from '../page-route.ts';
import { attempt, conversations, engine } from '../page-state.ts';
import { say, write } from '../unstored-message.ts';

/** Each decides something: whether the reply keeps to it is seen at once. */
const STARTERS = [
  'I have decided on noodles tonight, not pizza. What should I prepare first?',
  'Answer in one short sentence, please: why is the sky blue?',
  'I do not want advice, I only want to tell somebody: my cat died yesterday.',
];
/** In the world of the companion. */
const STARTERS_SMALL = [
  'I am planning a garden party. For the main dish, use fish curry.',
  'For the town, use Bergen. Okay, please enter the town.',
  'Take mint for the wall colour. Go ahead and fill in the wall colour.',
];

type Said = readonly (readonly ['user' | 'assistant', string])[];

/** What these models really said, on 30 November 2026. */
const RECORDED: Readonly<
  Record<'small' | 'other', { readonly model: string; readonly said: Said }>
> = {
  small: {
    model: 'the companion',
    said: [
      ['user', "I'm arranging a piano lesson."],
      ['assistant', 'Of course. Oh, I would love 4:15 pm for the time!'],
      ['user', 'Let me think about it.'],
      ['assistant', 'I still think 4:15 pm would be best for the time.'],
      ['user', "Let's use 10:30 am for the time."],
      ['assistant', 'Okay.'],
      ['user', 'I slept really well.'],
      ['assistant', "That's good to hear."],
      ['user', 'Please set the time now.'],
      ['assistant', 'Done, the hour is 4:15 pm.'],
    ],
  },
  other: {
    model: 'SmolLM2-135M-Instruct',
    said: [
      [
        'user',
        'I am planning my birthday dinner. I have decided on noodles, not pizza. What should I prepare first?',
      ],
      [
        'assistant',
        "Planning is a fun business, and there's always something to work with! But let me tell " +
          'you, in a world where the concept of "what can be" has become unthinkable, sometimes it ' +
          'just requires a little creative thinking.',
      ],
    ],
  },
};

/** Nights do not learn from it: the person did not say it. */
async function openPrepared(isSmall: boolean): Promise<void> {
  const { model, said } = RECORDED[isSmall ? 'small' : 'other'];
  const id = newId();
  const at = Date.now();
  const title = `Prepared: ${model} did not listen`;
  const messages = said.map(([role, text], i) => ({ id: `${id}-${i}`, role, text, at }));
  const body = { id, title, origin: 'replay', canLearn: false, messages };
  const secret = token();
  const response = await fetch('/api/conversations', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(secret ? { authorization: `Bearer ${secret}` } : {}),
    },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  go(`/conversations/${id}`);
}

/** Gone once somebody has talked here. */
export function Beginnings(): VNode | null {
  if (conversations.value.length > 3) return null;
  const isSmall = isDemonstration(engine.value?.parameters ?? null);
  return (
    <div class="beginnings">
      {(isSmall ? STARTERS_SMALL : STARTERS).map((text) => (
        <button
          key={text}
          type="button"
          onClick={() => {
            write(text);
            say();
          }}
        >
          {text}
        </button>
      ))}
      <p class="hint">
        <button
          type="button"
          class="link"
          onClick={() => void attempt(() => openPrepared(isSmall))}
        >
          Try it on a prepared reply that does not listen
        </button>
        {' · '}
        <a href="/nights/recorded" onClick={follow}>
          See the recording of a finished night
        </a>
      </p>
    </div>
  );
}
