// Reads what a tokenizer is made of, from a Hugging Face folder or a GGUF file.
import { readGgufFile } from '../gguf/gguf-file.ts';
import { tokenizerFilesOf } from './gguf-tokenizer.ts';
import { ggufPath } from './model-file.ts';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-file.ts';

/** @throws tokenizer-invalid with the file and the place */
export async function readTokenizer(path: string): Promise<TokenizerFiles> {
  const file = await ggufPath(path);
  return file === undefined ? readTokenizerFiles(path) : tokenizerFilesOf(await readGgufFile(file));
}
