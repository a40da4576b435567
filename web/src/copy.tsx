// A button that puts a text into the clipboard, and says so: a clipboard cannot be seen.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { tell } from './page-state.ts';

export function CopyButton({ text, what = '' }: { text: string; what?: string }): VNode {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button type="button" class="copy" onClick={() => void copy().catch(tell)} aria-live="polite">
      {isCopied ? 'Copied' : 'Copy'}
      {what !== '' && <span class="hidden"> {what}</span>}
    </button>
  );
}
