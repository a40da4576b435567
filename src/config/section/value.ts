// What most sections are made of: numbers with a lower bound and a default, and the section itself.
import { z } from 'zod';

/** A strict object with its description. */
export const section = <T extends z.core.$ZodShape>(description: string, shape: T) =>
  z.strictObject(shape).describe(description);

/** A whole number of at least `min`. */
export function countFrom(min: number, value: number, { max }: { readonly max?: number } = {}) {
  const bounded = z.int().min(min);
  return (max === undefined ? bounded : bounded.max(max)).default(value);
}

/** A whole number of at least one. */
export const count = (value: number) => countFrom(1, value);

export const numberFrom = (min: number, value: number) => z.number().min(min).default(value);

/** A number of at least 0. */
export const amount = (value: number) => numberFrom(0, value);

/** A number above 0. */
export const positive = (value: number) => z.number().gt(0).default(value);

/** From 0 to 1. */
export const share = (value: number) => z.number().min(0).max(1).default(value);

export const isOn = (value: boolean) => z.boolean().default(value);

export const text = (value: string) => z.string().default(value);
