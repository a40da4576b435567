// "Hear me now": beside a reply that did not listen, what the same model says when it is told.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Flag, ToldReply } from '../../../src/protocol/flag.ts';
import { request } from '../connection.ts';
import { Markdown } from '../markdown.tsx';
import { attempt, editFlag, flags, notice, open, told } from '../page-state.ts';
import { withoutEcho } from '../press.ts';
import { beginEdit } from './flag-draft.ts';

/** The flag whose told reply this page has asked for: it takes the focus when it begins. */
const asked = signal<string | null>(null);

export function hear(flagId: string): Promise<void> {
  asked.value = flagId;
  return attempt(() => request({ type: 'told-ask', flagId }, 'told-asked'));
}

const waiting = (): ToldReply | undefined => told.value.at(-1);

/** The key for it, of the newest one. */
export const keepTold = withoutEcho((): void => {
  const one = waiting();
  if (one !== undefined && canKeep(one)) void keep(one);
});

export const refuseTold = withoutEcho((): void => {
  const one = waiting();
  if (one !== undefined) void refuse(one);
});

const canKeep = ({ isRunning, text }: ToldReply): boolean => !isRunning && text !== '';

const keep = ({ flagId, replyId }: ToldReply): Promise<void> =>
  attempt(async () => {
    const { isPlaced } = await request({ type: 'told-keep', flagId, replyId }, 'told-kept');
    if (!isPlaced) {
      notice.value = {
        text: 'Kept for the night. The conversation has gone on, so the reply stays as it was.',
      };
    }
    if (matchMedia('(pointer: fine)').matches) document.getElementById('composer')?.focus();
  });

const refuse = ({ flagId }: ToldReply): Promise<void> =>
  attempt(async () => {
    await editFlag(flagId, { told: 'missed' });
    await better(flagId);
  });

async function better(flagId: string): Promise<void> {
  const flag = flags.value.find(({ id }) => id === flagId);
  if (flag !== undefined) await beginEdit(flag, { isForBetterWords: true });
}

/** What became of it, or the way to it. */
export function ToldLine({ flag }: { flag: Flag }): VNode | null {
  const { id, kind, betterWords, usedBy } = flag;
  if (kind !== 'missed' || usedBy.length > 0) return null;
  if (flag.told === 'kept') return <small>You kept what it said when it was told.</small>;
  if (betterWords !== null || told.value.some(({ flagId }) => flagId === id)) return null;
  const again = flag.told === 'missed' ? 'Tell it once more' : 'Hear me now';
  return (
    <small class="flagged">
      {flag.told === 'missed' && (
        <>
          Told, it still did not listen.
          <button type="button" class="quiet" onClick={() => void better(id)}>
            Say what would have been better
          </button>
        </>
      )}
      <button type="button" class="quiet" onClick={() => void hear(id)}>
        {again}
      </button>
    </small>
  );
}

/** On the phone, too, it is in view when it begins, and stays so while the person looks at it. */
function useArrival({ flagId, text, isRunning }: ToldReply) {
  const section = useRef<HTMLElement>(null);
  const height = useRef(0);
  useEffect(() => {
    if (asked.value !== flagId) return;
    asked.value = null;
    section.current?.focus({ preventScroll: true });
    section.current?.scrollIntoView({ block: 'nearest' });
  }, [flagId]);
  // Beside a reply its end is not that of the conversation: whoever saw all of it sees it grow.
  useLayoutEffect(() => {
    const view = section.current?.closest('.scroller')?.getBoundingClientRect();
    const box = section.current?.getBoundingClientRect();
    if (view === undefined || box === undefined) return;
    const wasInView = height.current > 0 && box.top + height.current <= view.bottom + 1;
    if (wasInView && box.bottom > view.bottom)
      section.current?.scrollIntoView({ block: 'nearest' });
    height.current = box.height;
  }, [text, isRunning]);
  return section;
}

/** Drawn apart: the reply that did not listen does not move with each of its words. */
export function ToldOf({ flags: own }: { flags: readonly Flag[] }): VNode {
  const ids = new Set(own.map(({ id }) => id));
  return (
    <>{told.value.map((one) => ids.has(one.flagId) && <Told key={one.flagId} reply={one} />)}</>
  );
}

function Told({ reply }: { reply: ToldReply }): VNode {
  const section = useArrival(reply);
  const { text, isRunning, error } = reply;
  return (
    <section
      class="told"
      aria-label="Told, it says"
      aria-busy={isRunning}
      tabIndex={-1}
      ref={section}
    >
      <small>Told again what you asked, it says:</small>
      {text === '' && isRunning ? (
        <i class="breath" aria-hidden="true" />
      ) : (
        <Markdown text={text} />
      )}
      {error !== null && <small role="alert">It came to no end: {error}</small>}
      <div class="answers">
        {canKeep(reply) && (
          <button
            type="button"
            class="primary"
            title="Keep it (K)"
            onClick={() => void keep(reply)}
          >
            Keep this reply
          </button>
        )}
        {error === null ? (
          <button type="button" title="Still not (X)" onClick={() => void refuse(reply)}>
            Still not
          </button>
        ) : (
          <button type="button" onClick={() => void hear(reply.flagId)}>
            Tell it once more
          </button>
        )}
      </div>
      <small>
        {open.value?.canLearn === false
          ? 'Nights do not learn from this conversation.'
          : 'Does it listen now? Keep it, and by tomorrow it should do so without being told.'}
      </small>
    </section>
  );
}
