// Reads the dialogues of Schema-Guided Dialogue and the direction moments in them, checked.
import { z } from 'zod';
import { readWholeLineFile } from '../base/line-file.ts';
import type { SgdDialogue, SgdMoment } from './sgd.ts';

const dialogueSchema = z.object({
  id: z.string(),
  services: z.array(z.string()),
  turns: z.array(
    z.object({
      role: z.enum(['user', 'assistant']),
      text: z.string().min(1),
      acts: z.array(z.tuple([z.string(), z.string(), z.string()])),
    }),
  ),
});

const momentSchema = z.object({
  id: z.string(),
  kind: z.string(),
  changes: z.array(z.tuple([z.string(), z.string(), z.string()])).default([]),
  reply: z.string(),
  foil: z.string().nullish(),
});

/** @throws message-invalid naming the line. */
export async function readSgdDialogues(path: string): Promise<SgdDialogue[]> {
  return readWholeLineFile(path, dialogueSchema);
}

/** @throws message-invalid naming the line. */
export async function readSgdMoments(path: string): Promise<SgdMoment[]> {
  return readWholeLineFile(path, momentSchema);
}
