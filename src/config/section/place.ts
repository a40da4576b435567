// Config sections that say where things are: the store, the model, and what the logger writes.
import { z } from 'zod';
import { countFrom, section, text } from './value.ts';

export const storeSection = section('Where what was said is kept.', {
  path: z
    .string()
    .min(1)
    .default('store')
    .describe('Folder of conversations, flags and nights, from the working directory.'),
});

export const modelSection = section('Which model speaks.', {
  path: z
    .string()
    .min(1)
    .default('models/companion')
    .describe(
      'A Hugging Face folder or a GGUF file, from the working directory or else from the ' +
        'installation; or a name that `attune models` lists.',
    ),
  quantize: z
    .literal([4, 8, 'none', 'auto'])
    .default('auto')
    .describe(
      'Bits that the matrices of a folder in F32, F16 or BF16 are quantised to. Decided once for ' +
        'a store and a model: auto is what was decided, and else none.',
    ),
});

export const loggerSection = section('Diagnostics of the daemon. They hold no words of a person.', {
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('The least important lines that are written.'),
  file: text('').describe('Where lines are written; empty is standard error.'),
  fileBytesMax: countFrom(65_536, 16 * 2 ** 20).describe(
    'Bytes after which a file becomes FILE.1 and a new one begins.',
  ),
});
