// What is speaking: the model, the nights that are in it, how much of its context is used, how fast
// it is; nights on and off, and back to the base.
import { computed, signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { percent } from '../../../src/protocol/number-text.ts';
import type { UpstreamView } from '../../../src/protocol/server-message.ts';
import type { NightLine } from '../../../src/protocol/summary.ts';
import { MenuButton } from '../chat/head.tsx';
import { onMessage } from '../connection.ts';
import { follow } from '../page-route.ts';
import { attempt, engine, history, tell } from '../page-state.ts';
import { dayText, loadNights, STATUS, swapTo } from './api.ts';
import { byNumber, inUse, weightsText } from './weights.ts';

/** Tokens a second of the last reply that was heard here from its beginning. */
const speed = signal<number | null>(null);
let begun: { readonly replyId: string; readonly at: number } | null = null;

onMessage((message) => {
  if (message.type === 'reply-delta' && message.offset === 0) {
    begun = { replyId: message.replyId, at: performance.now() };
  } else if (message.type === 'reply-end' && message.reply.id === begun?.replyId) {
    const seconds = (performance.now() - begun.at) / 1000;
    const tokens = message.reply.usage.replyTokens - 1;
    if (tokens > 0 && seconds > 0) speed.value = tokens / seconds;
  }
});

const context = computed(() => {
  const last = history.value.findLast((one) => one.role === 'assistant');
  const windowTokens = engine.value?.windowTokens ?? null;
  if (last === undefined || windowTokens === null) return null;
  const { promptTokens, replyTokens } = last.usage;
  return { tokens: promptTokens + replyTokens, windowTokens };
});

const speedText = (): string =>
  speed.value === null
    ? ''
    : `${Number(Math.max(0.1, speed.value).toPrecision(2))} tokens a second`;

/** One line beside what is written. */
export function Meter(): VNode | null {
  const model = engine.value?.modelId;
  if (!model) return null;
  const used = context.value;
  const server = engine.value?.upstream;
  const parts = [
    `${model}${server ? ` on ${server.kind}` : ''}, ${weightsText.value}`,
    used === null ? '' : `${percent(used.tokens / used.windowTokens)} of its context`,
    speedText(),
  ];
  return (
    <a class="meter" href="/model" onClick={follow}>
      {parts.filter(Boolean).join(' · ')}
    </a>
  );
}

function NightSwitch({ line, isBusy, onSwitch }: SwitchProps): VNode {
  const { number, day, status, isTrial, isAgainstVerdict, headline } = line;
  return (
    <li>
      <label class="switch">
        <input
          type="checkbox"
          checked={status === 'in-force'}
          disabled={isBusy}
          onChange={({ currentTarget }) => onSwitch(currentTarget.checked)}
        />
        Night {number}, {dayText(day)}
      </label>
      <small>
        {STATUS[status]}
        {isTrial && ', on trial until the next night'}
        {isAgainstVerdict && ', against its verdict'} · {headline.replace(/^Night \d+: /, '')}{' '}
        <a href={`/nights/${line.nightId}`} onClick={follow}>
          Its morning<span class="hidden">, night {number}</span>
        </a>
      </small>
    </li>
  );
}

interface SwitchProps {
  readonly line: NightLine;
  readonly isBusy: boolean;
  readonly onSwitch: (isOn: boolean) => void;
}

function NightSwitches(): VNode {
  const [isBusy, setBusy] = useState(false);
  const swap = (ids: readonly string[]): void => {
    setBusy(true);
    swapTo(ids)
      .catch(tell)
      .then(() => attempt(loadNights))
      .finally(() => setBusy(false));
  };
  const learnt = byNumber.value.filter(({ hasWeights }) => hasWeights);
  const used = inUse.value.map(({ nightId }) => nightId);
  if (learnt.length === 0) return <p class="hint">No night has learnt anything yet.</p>;
  const toggle = ({ nightId }: NightLine, isOn: boolean): void =>
    swap(
      learnt
        .map((line) => line.nightId)
        .filter((id) => (id === nightId ? isOn : used.includes(id))),
    );
  return (
    <>
      <ul class="plain switches">
        {learnt.map((line) => (
          <NightSwitch
            key={line.nightId}
            line={line}
            isBusy={isBusy}
            onSwitch={(isOn) => toggle(line, isOn)}
          />
        ))}
      </ul>
      <button type="button" disabled={isBusy || used.length === 0} onClick={() => swap([])}>
        Back to the base model
      </button>
    </>
  );
}

function serverText({ model, status, message, check }: UpstreamView): string {
  return status === 'ready' ? `speaks as ${model}; ${check}` : `is down: ${message}`;
}

export function Speaking(): VNode {
  useEffect(() => void attempt(loadNights), []);
  const view = engine.value;
  const used = context.value;
  const facts: [string, string | null | undefined][] = [
    ['Model', view?.modelId],
    ['Weights', weightsText.value],
    ['Parameters', view?.parameters ? `${(view.parameters / 1e6).toFixed(0)} million` : null],
    ['Runs on', view?.upstream ? `${view.upstream.kind} at ${view.upstream.url}` : view?.device],
    ['The server', view?.upstream && serverText(view.upstream)],
    ['Context', view?.windowTokens ? `${view.windowTokens.toLocaleString()} tokens` : null],
    [
      'Used by this conversation',
      used && `${used.tokens.toLocaleString()} tokens, ${percent(used.tokens / used.windowTokens)}`,
    ],
    ['Last reply', speedText()],
  ];
  return (
    <main class="page">
      <header class="head">
        <MenuButton />
        <h1>What is speaking</h1>
      </header>
      <div class="scroller">
        <div class="column">
          <section>
            <dl class="facts">
              {facts.map(
                ([name, value]) =>
                  value && (
                    <div key={name}>
                      <dt>{name}</dt>
                      <dd>{value}</dd>
                    </div>
                  ),
              )}
            </dl>
            {view?.notices.map((notice) => (
              <p class="hint" key={notice}>
                {notice}
              </p>
            ))}
          </section>
          <section>
            <h2>Its nights</h2>
            <p class="hint">
              A night changes a small part of the weights. It can be switched on and off at any
              time; nothing else is touched, and replies under way go on.
            </p>
            <NightSwitches />
          </section>
        </div>
      </div>
    </main>
  );
}
