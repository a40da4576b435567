// How a running night is told to a person, in the page and in the terminal.
import type { NightProgress } from './night.ts';

const MINUTE_MS = 60_000;

/** "about 12 minutes left"; empty where nobody knows. */
export function leftText(ms: number | null): string {
  if (ms === null) return '';
  const minutes = Math.ceil(ms / MINUTE_MS);
  if (minutes <= 1) return 'about a minute left';
  return minutes < 90
    ? `about ${minutes} minutes left`
    : `about ${Math.round(minutes / 60)} hours left`;
}

/** "train · 42 % · about 12 minutes left"; how long a pause lasts nobody knows. */
export function progressText({ phase, share, leftMs, isPaused }: NightProgress): string {
  const rest = isPaused ? 'waits while you talk' : leftText(leftMs);
  return [phase, `${Math.floor(share * 100)} %`, rest].filter(Boolean).join(' · ');
}
