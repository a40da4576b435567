// Config sections of what is kept and learnt from: flags, memory, dreams, training.
import { z } from 'zod';
import { samplingShape } from '../../protocol/sampling-schema.ts';
import { amount, count, countFrom, numberFrom, positive, section, share } from './value.ts';

export const flagSection = section('Moments that a person marked.', {
  heldBackFrom: count(10).describe(
    'From this flag on, some are held back: they measure and never train.',
  ),
  heldBackOneIn: countFrom(2, 5).describe('One flag in this many is held back.'),
});

const salience = (value: number, description: string) => amount(value).describe(description);

export const memorySection = section(
  'Gists: what is remembered of a conversation, and for how long.',
  {
    restMinutes: amount(30).describe(
      'Minutes without a message after which a conversation is compressed to a gist.',
    ),
    halfLifeDays: positive(14).describe('Days after which the salience of a gist is half.'),
    flaggedHalfLifeFactor: numberFrom(1, 4).describe(
      'How many times slower a flagged conversation fades.',
    ),
    salienceFloor: share(0.05).describe('Salience below which a gist is forgotten on purpose.'),
    gistsMax: count(5_000).describe(
      'Gists that are kept; beyond this the least salient are forgotten.',
    ),
    weights: z
      .strictObject({
        flags: salience(2, 'Moments in which the model failed to listen, by their strength.'),
        goodMoments: salience(1, 'Moments that the person marked as good.'),
        directions: salience(0.5, 'Clear directions.'),
        feelings: salience(0.5, 'Feelings that were named.'),
        promises: salience(0.3, 'Promises of either side.'),
        openQuestions: salience(0.3, 'Questions that stayed open.'),
        surprise: salience(0.5, 'How little the model expected what the person said.'),
      })
      .describe('How much each input adds to salience; the sum is squashed to 0 … 1.')
      .prefault({}),
  },
);

export const dreamSection = section('Scenarios that the model writes at night.', {
  dreamsPerFlag: countFrom(0, 60).describe(
    'Dreams in other domains that one flag gives at most, those that are held as they are included.',
  ),
  directedShare: share(0.7).describe(
    'Share of dreams that start from flags; the rest start from memories.',
  ),
  salienceShare: share(0.7).describe(
    'Share of dreams from memories that is drawn by salience; the rest by chance.',
  ),
  batchSize: countFrom(1, 16, { max: 64 }).describe('Lines written at once.'),
  temperature: samplingShape.temperature.default(0.8).describe('Temperature of the lines.'),
  echoes: countFrom(0, 120, { max: 10_000 }).describe(
    'Most moments of your conversations in which a reply took up a value that you had named; ' +
      'both sides of each are used, with the value and another one exchanged.',
  ),
  rehearsalTalks: countFrom(0, 32, { max: 10_000 }).describe(
    'Conversations that the model holds with itself; training retains what it says.',
  ),
  nearCopyMax: z
    .number()
    .gt(0)
    .max(1)
    .default(0.6)
    .describe('Share of word triples in common with a test above which a dream is a copy of it.'),
});

export const trainSection = section('How the query projections learn.', {
  device: z
    .enum(['auto', 'cpu', 'webgpu', 'tensorflow', 'elsewhere'])
    .default('auto')
    .describe(
      'What takes the gradient steps; auto is a graphics card where one is faster, else the CPU. ' +
        'tensorflow is @tensorflow/tfjs-node-gpu (npm run setup:tensorflow), on CUDA where it sees ' +
        'it. elsewhere: nights end with their lessons, for `attune night export-job`.',
    ),
  optimizer: z.enum(['apollo', 'adamw']).default('apollo').describe('Optimizer.'),
  rank: count(16).describe("Rank of APOLLO's projections."),
  klPerStep: positive(0.0006).describe(
    'How far a first step at the full learning rate would move what the model predicts on turns ' +
      'that are held, nats a token; the rate follows from it. Later steps move less.',
  ),
  warmupSteps: countFrom(0, 5).describe('Steps until the learning rate is reached.'),
  batchSize: count(8).describe('Lessons a step; each is a micro-step of its own.'),
  holdsPerStep: countFrom(0, 8).describe(
    'Turns a step that are held as they are; together they weigh as much as the lessons.',
  ),
  epochsMax: count(4).describe('How often a lesson is seen at most.'),
  contextTokensMax: countFrom(8, 400).describe(
    'Prompt tokens of a lesson; whole old turns go first.',
  ),
  replyTokensMax: count(48).describe('Tokens of a reply that train.'),
  contextCacheBytesMax: countFrom(0, 536_870_912).describe(
    'Bytes of frozen contexts that are kept between steps.',
  ),
  checkpointSteps: count(10).describe('Steps between two checkpoints.'),
});
