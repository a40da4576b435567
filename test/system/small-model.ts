// A small model that can chat in form only: random weights behind the companion's tokenizer.
import { copyFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installationFolder } from '../../src/config/load.ts';
import { writeRandomModel } from '../model/random-model.ts';

const COMPANION = join(installationFolder, 'models', 'companion');

/** A Hugging Face folder of about 0.3 million weights; the same seed gives the same bytes. */
export async function writeSmallModel(seed = 1): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'attune-small-'));
  const dir = join(parent, 'small');
  const shape = { hiddenSize: 64, intermediateSize: 128, layers: 3, heads: 4, kvHeads: 2 };
  await writeRandomModel(dir, { ...shape, vocabularySize: 4096, windowTokens: 512 }, seed);
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(COMPANION, file), join(dir, file));
  }
  return dir;
}
