// Reads what a tokenizer is made of, from a Hugging Face folder or a GGUF file.
import { readGgufFile } from '../gguf/gguf-file.ts';
import { tokenizerFilesOf } from './gguf-tokenizer.ts';
import { ggufPath } from './model-file.ts';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-file.ts';

/** @throws tokenizer-invalid with the file and the place */
export async function readTokenizer(path: string): Promise<TokenizerFiles> {
  const file = await ggufPath(path);
  const files = await (file === undefined
    ? readTokenizerFiles(path)
    : readGgufFile(file).then(tokenizerFilesOf));
  const more = [
    ...(files.templates.size === 0 ? [NO_TEMPLATE] : []),
    ...(files.stopIds.length === 0 ? [NO_END] : []),
  ];
  return { ...files, notices: [...files.notices, ...more] };
}

const NO_END =
  'This model names no token that ends a reply: each goes on until chat.replyTokensMax.';

const NO_TEMPLATE =
  'This model has no chat template: it is a base model, which continues text and cannot chat. ' +
  'Every message will be refused; start with one that was made for chat (-Instruct, -it, -chat).';
