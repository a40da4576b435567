// Which nights' weights are in use, and how that is said in a line.
import { computed } from '@preact/signals';
import { nights } from './api.ts';

/** Oldest first. */
export const byNumber = computed(() =>
  [...(nights.value?.nights ?? [])].sort((a, b) => a.number - b.number),
);
export const inUse = computed(() => byNumber.value.filter(({ status }) => status === 'in-force'));

/** "base model", or the nights in it; what is not as it should be is said. */
export const weightsText = computed(() => {
  if (inUse.value.length === 0) return 'base model';
  const numbers = inUse.value.map(({ number, isTrial, isAgainstVerdict }) => {
    const how = isTrial ? ' (on trial)' : isAgainstVerdict ? ' (not recommended)' : '';
    return `${number}${how}`;
  });
  return `${numbers.length === 1 ? 'night' : 'nights'} ${numbers.join(', ')}`;
});
