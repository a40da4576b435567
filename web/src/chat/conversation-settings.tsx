// What a conversation may set for itself: a system prompt, how it samples, whether it teaches.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Conversation, SettingsPatch } from '../../../src/protocol/conversation.ts';
import { eachSampling, leastOf, SEED_MAX } from '../../../src/protocol/sampling.ts';
import { configure, exported, open, remove, tell } from '../page-state.ts';

export const isSettingsOpen = signal(false);

interface NumberSetting {
  readonly name: keyof SettingsPatch;
  readonly label: string;
  readonly min: number;
  readonly max?: number | undefined;
  readonly step: number;
}

const { temperature: TEMPERATURE, ...OTHER_SAMPLING } = eachSampling(
  (rule, name): NumberSetting => ({ ...rule, name, min: leastOf(rule) }),
);
const OTHERS: readonly NumberSetting[] = [
  ...Object.values(OTHER_SAMPLING),
  { name: 'replyTokensMax', label: 'Longest reply (tokens)', min: 1, step: 1 },
  { name: 'seed', label: 'Seed', min: 0, max: SEED_MAX, step: 1 },
];

/** Hands the conversation to the browser as a file. */
async function save(conversationId: string): Promise<void> {
  try {
    const blob = new Blob([await exported(conversationId)], { type: 'application/x-ndjson' });
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `${conversationId}.jsonl`;
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    tell(error);
  }
}

function NumberField({
  conversation,
  setting,
}: {
  conversation: Conversation;
  setting: NumberSetting;
}): VNode {
  const { name, label, min, max, step } = setting;
  return (
    <label>
      {label}
      <input
        type="number"
        min={min}
        max={max}
        step={step}
        placeholder="as configured"
        defaultValue={String(conversation.settings[name] ?? '')}
        onChange={({ currentTarget: field }) => {
          // Half a number, or one out of range: the browser says what is wrong with it.
          if (!field.reportValidity()) return;
          const value = field.value === '' ? null : Number(field.value);
          void configure(conversation.id, { settings: { [name]: value } });
        }}
      />
    </label>
  );
}

function StopStrings({ conversation }: { conversation: Conversation }): VNode {
  return (
    <label>
      A reply ends before one of these lines
      <textarea
        rows={2}
        placeholder="as configured"
        defaultValue={(conversation.settings.stop ?? []).join('\n')}
        onChange={({ currentTarget: { value } }) => {
          const lines = value.split('\n').filter((line) => line !== '');
          void configure(conversation.id, {
            settings: { stop: lines.length === 0 ? null : lines },
          });
        }}
      />
    </label>
  );
}

function Ends({ conversation }: { conversation: Conversation }): VNode {
  return (
    <footer>
      <button type="button" onClick={() => void save(conversation.id)}>
        Save as a file
      </button>
      <button
        type="button"
        class="danger"
        onClick={() => {
          const question = 'Delete this conversation, its flags and what was dreamt from it?';
          if (window.confirm(question)) void remove(conversation.id);
          isSettingsOpen.value = false;
        }}
      >
        Delete this conversation
      </button>
    </footer>
  );
}

/** Takes the focus when it opens; a click elsewhere closes it, and the focus goes back. */
function usePopover() {
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    panel.current?.focus();
    const onPointer = ({ target }: PointerEvent): void => {
      const isOwn = target instanceof Element && target.closest('.settings, .settings-button');
      if (!isOwn) isSettingsOpen.value = false;
    };
    document.addEventListener('pointerdown', onPointer);
    return () => {
      document.removeEventListener('pointerdown', onPointer);
      const isLost = document.activeElement === document.body;
      if (isLost && before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return panel;
}

export function Settings(): VNode | null {
  const panel = usePopover();
  const conversation = open.value;
  if (conversation === null) return null;
  return (
    <section
      class="settings"
      key={conversation.id}
      ref={panel}
      tabIndex={-1}
      aria-label="Settings of this conversation"
    >
      <label>
        System prompt
        <textarea
          rows={3}
          dir="auto"
          defaultValue={conversation.settings.systemPrompt ?? ''}
          onChange={({ currentTarget: { value } }) =>
            void configure(conversation.id, { settings: { systemPrompt: value || null } })
          }
        />
      </label>
      <NumberField conversation={conversation} setting={TEMPERATURE} />
      <details>
        <summary>More of how it speaks</summary>
        <div class="grid">
          {OTHERS.map((setting) => (
            <NumberField key={setting.name} conversation={conversation} setting={setting} />
          ))}
        </div>
        <StopStrings conversation={conversation} />
      </details>
      <label class="switch">
        <input
          type="checkbox"
          checked={conversation.canLearn}
          onChange={(event) =>
            void configure(conversation.id, { canLearn: event.currentTarget.checked })
          }
        />
        Learn from this conversation at night
      </label>
      {conversation.isUndecided && (
        <p class="hint">It came over the API: nothing is learnt from it until you say so.</p>
      )}
      {conversation.history.length > 0 && <Ends conversation={conversation} />}
    </section>
  );
}
