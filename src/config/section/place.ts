// Config sections that say where things are: the store, the model, and what the logger writes.
import { z } from 'zod';

export const storeSection = z.strictObject({
  /** Folder of logs, flags, nights. Relative to the working directory. */
  path: z.string().min(1).default('store'),
});

export const modelSection = z.strictObject({
  /** Hugging Face folder; relative to the working directory, else to the installation. */
  path: z.string().min(1).default('models/companion'),
});

export const loggerSection = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  /** Empty: standard error. */
  file: z.string().default(''),
  fileBytesMax: z
    .int()
    .min(65_536)
    .default(16 * 2 ** 20),
});
