// A button that puts a text into the clipboard, and says so: a clipboard cannot be seen.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { tell } from './page-state.ts';

export function CopyButton({ text, what = '' }: { text: string; what?: string }): VNode {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await write(text);
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

/** The clipboard's interface is there only over https and on this machine. */
async function write(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const field = document.createElement('textarea');
  field.value = text;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand('copy');
  field.remove();
  if (!isDone)
    throw new Error('This browser does not let the page copy. Select the words and copy.');
}
