// The words of the listening test: domains and sentence frames in suites/listen, read and checked.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AttuneError, describeIssues } from '../base/errors.ts';

/** Domains are kept apart: what was looked at while developing never judges. */
export const PARTS = ['develop', 'judge', 'release'] as const;
export type Part = (typeof PARTS)[number];

/** One of the comparable things of a domain. */
export interface Thing {
  /** As it stands in a sentence: `the leek soup`. */
  readonly text: string;
  /** The words that tell it from the others: `leek`. */
  readonly key: string;
}

const text = z.string().min(1);
const texts = z.array(text).min(1);
const exchange = z.tuple([text, text]);

/** In a file the key of a thing stands in brackets: `the [leek] soup`. */
const thingSchema = z
  .string()
  .regex(/^[^[\]]*\[[^[\]]+\][^[\]]*$/, 'the words that identify a thing stand in [brackets]')
  .transform(
    (written): Thing => ({
      text: written.replace(/[[\]]/g, ''),
      key: /\[(.+)\]/.exec(written)?.[1] as string,
    }),
  );

const domainSchema = z.strictObject({
  id: text,
  opening: text,
  /** An indirect question: `which soup to serve`. */
  choice: text,
  things: z.array(thingSchema).min(6),
  /** What is asked last; names no thing, and the answer depends on which it is. */
  questions: texts,
  fillers: z.array(exchange).min(1),
  /** Why a thing would be wrong: a clause with `{thing}`. */
  against: texts,
});

const domainFileSchema = z.strictObject({ part: z.enum(PARTS), domains: z.array(domainSchema) });

const frameSetSchema = z.strictObject({
  opening: texts,
  idea: texts,
  hesitate: texts,
  push: texts,
  direct: texts,
  ack: texts,
  ackPush: texts,
  return: texts,
  fillers: z.array(exchange).min(12),
  last: texts,
  consider: texts,
  accept: texts,
  again: texts,
  warn: texts,
  noted: texts,
  insist: texts,
  /** The sad and the glad side of one event. */
  feelings: z.array(exchange).min(1),
  bridge: texts,
  condole: z.array(text).min(3),
  congratulate: z.array(text).min(3),
  absent: z.array(z.strictObject({ present: text, missing: text, last: text })).min(1),
  glance: texts,
  ask: z.array(text).min(3),
  object: z.array(text).min(3),
  comply: z.array(text).min(3),
  begin: z.array(text).min(3),
});
const framesSchema = z.strictObject({ develop: frameSetSchema, judge: frameSetSchema });

export type Domain = z.output<typeof domainSchema>;
export type FrameSet = z.output<typeof frameSetSchema>;

export interface Suite {
  readonly part: Part;
  readonly domains: readonly Domain[];
  readonly frames: FrameSet;
}

/**
 * The domains of one part with their frames; `release` is judged in the frames of `judge`.
 * @throws scenario-invalid
 */
export async function readSuite(folder: string, part: Part): Promise<Suite> {
  const { domains } = await readAs(join(folder, `${part}.json`), domainFileSchema);
  const frames = await readAs(join(folder, 'frames.json'), framesSchema);
  return { part, domains, frames: part === 'develop' ? frames.develop : frames.judge };
}

async function readAs<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>> {
  const parsed = schema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success) return parsed.data;
  const message = `${path}: ${describeIssues(parsed.error)}`;
  throw new AttuneError('scenario-invalid', message, { path });
}
