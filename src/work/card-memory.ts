// What a night may take of a graphics card: what is free, less what the chat may still ask for.
import { AttuneError } from '../base/errors.ts';
import type { Config } from '../config/schema.ts';
import { sizeOf } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { isQProj } from '../model/weight-names.ts';
import { graphicsCards } from '../runtime/graphics-card.ts';

/** Of the trained matrices beside those of the start: weights, sums, state, what an update gives. */
const COPIES = 8;
/** Of what is counted; the rest are the tensors of one step. */
const SHARE = 1.1;

type Settings = Pick<Config, 'engine' | 'train'>;

/**
 * Bytes of the card with the most memory that contexts may take, at most as many as are configured.
 * @throws runtime-failed when the weights do not fit beside the chat
 */
export async function contextBytesOnCard(config: Settings, model: Model): Promise<number> {
  const cards = await graphicsCards();
  const [card] = cards.sort((a, b) => (b.memoryBytes ?? 0) - (a.memoryBytes ?? 0));
  const { contextCacheBytesMax } = config.train;
  if (card?.freeBytes === undefined) return contextCacheBytesMax;
  const trained = [...model.weights.values()].filter(({ name }) => isQProj(name));
  const copied = trained.reduce((total, { shape }) => total + COPIES * sizeOf(shape), 0);
  const chat = config.engine.device === 'cpu' ? 0 : config.engine.cacheBytesMax;
  const needed = chat + 4 * SHARE * (model.parameters + copied);
  const left = Math.floor(card.freeBytes - needed);
  if (left > 0) return Math.min(contextCacheBytesMax, left);
  const [free, night] = [card.freeBytes, needed].map((bytes) => (bytes / 1e9).toFixed(1));
  const message = `${free} GB of its memory are free, and a night takes ${night} beside the chat`;
  throw new AttuneError('runtime-failed', message);
}
