// What the swap bench found, over all its parts, in lines for a person.
import { z } from 'zod';

const numbers = z.array(z.number());
/** One run of the bench; a run that was ended early is one of several. Times in ms. */
const partSchema = z.strictObject({
  replies: z.int(),
  tokens: z.int(),
  faults: z.array(z.string()),
  /** From one token of a reply to the next. */
  tokenMs: z.number(),
  /** The longest wait for a token during each swap, and in times as long without one. */
  waits: numbers,
  calm: numbers,
  switchMs: numbers,
  wholeMs: numbers,
});
export type Part = z.infer<typeof partSchema>;
export const partsSchema = z.array(partSchema);

export const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

const spread = (values: readonly number[]): string =>
  [0.5, 0.9, 0.99, 1].map((share) => quantile(values, share).toFixed(1)).join(' / ');

export function swapLine(streams: number, parts: readonly Part[]): string {
  const all = (of: (part: Part) => readonly number[]): number[] => parts.flatMap(of);
  const sum = (of: (part: Part) => number): number => parts.reduce((n, one) => n + of(one), 0);
  const faults = parts.flatMap((part) => part.faults);
  const waits = all(({ waits: own }) => own);
  const calm = all((part) => part.calm);
  const tokenMs = quantile(
    parts.map((part) => part.tokenMs),
    0.5,
  );
  const added = (share: number): number => quantile(waits, share) - quantile(calm, share);
  const inTokens = (added(0.99) / tokenMs).toFixed(1);
  return [
    `${streams} streams, ${waits.length} swaps: ${faults.length} faults in ` +
      `${sum((one) => one.tokens)} tokens of ${sum((one) => one.replies)} replies` +
      `${faults.length > 0 ? ` (${[...new Set(faults)].join(', ')})` : ''}`,
    `  a token every ${tokenMs.toFixed(1)} ms; p50 / p90 / p99 / most, ms:`,
    `  longest wait at a swap     ${spread(waits)}   (the first: ${waits[0]?.toFixed(1)})`,
    `  as long a time without one ${spread(calm)}`,
    `  whole swap                 ${spread(all((part) => part.wholeMs))}`,
    `  the switch itself          ${spread(all((part) => part.switchMs))}`,
    `  added by a swap: p50 ${added(0.5).toFixed(1)} ms, p99 ${added(0.99).toFixed(1)} ms ` +
      `= ${inTokens} token times`,
  ].join('\n');
}
