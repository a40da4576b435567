// The whole configuration as one strict schema: a section per part, each key with its default.
import { z } from 'zod';
import { chatSection, engineSection } from './section/engine.ts';
import { dreamSection, flagSection, memorySection, trainSection } from './section/learning.ts';
import { gateSection, measureSection, nightSection, notifySection } from './section/night.ts';
import { loggerSection, modelSection, storeSection } from './section/place.ts';
import { serverSection } from './section/server.ts';

/**
 * To add a value: describe it in its section, with its unit, then write docs/configuration.md again
 * (`npx vitest run test/config -u`). Only what people change is in config/attune.yaml too.
 */
export const configSchema = z.strictObject({
  store: storeSection.prefault({}),
  model: modelSection.prefault({}),
  server: serverSection.prefault({}),
  engine: engineSection.prefault({}),
  chat: chatSection.prefault({}),
  flag: flagSection.prefault({}),
  memory: memorySection.prefault({}),
  dream: dreamSection.prefault({}),
  train: trainSection.prefault({}),
  measure: measureSection.prefault({}),
  gate: gateSection.prefault({}),
  night: nightSection.prefault({}),
  notify: notifySection.prefault({}),
  logger: loggerSection.prefault({}),
});

export type Config = z.output<typeof configSchema>;

/** Any part of a configuration, as files and options give it. */
export type ConfigPatch = DeepPartial<Config>;

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> | undefined }
    : T;
