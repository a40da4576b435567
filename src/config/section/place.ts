// Config sections that say where things are: the store, the model, and what the logger writes.
import { z } from 'zod';

export const storeSection = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .default('store')
      .describe('Folder of conversations, flags and nights, from the working directory.'),
  })
  .describe('Where what was said is kept.');

export const modelSection = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .default('models/companion')
      .describe('A Hugging Face folder, from the working directory or else from the installation.'),
  })
  .describe('Which model speaks.');

export const loggerSection = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('The least important lines that are written.'),
    file: z.string().default('').describe('Where lines are written; empty is standard error.'),
    fileBytesMax: z
      .int()
      .min(65_536)
      .default(16 * 2 ** 20)
      .describe('Bytes after which a file becomes FILE.1 and a new one begins.'),
  })
  .describe('Diagnostics of the daemon. They hold no words of a person.');
