// What the name of a GGUF file says: its quantisation, and which part of a split file it is.

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

export interface PartName {
  /** The name without its number. */
  readonly stem: string;
  /** From 1 on. */
  readonly part: number;
  readonly count: number;
}

/** Of `x-00001-of-00003.gguf`; undefined for a file that is not split. */
export function partOf(name: string): PartName | undefined {
  const [, stem, part, count] = PART.exec(name) ?? [];
  if (stem === undefined) return undefined;
  return { stem, part: Number(part), count: Number(count) };
}

export function partName(stem: string, part: number, count: number): string {
  const digits = (number: number): string => String(number).padStart(5, '0');
  return `${stem}-${digits(part)}-of-${digits(count)}.gguf`;
}

/** The file to name: the first part where a further one is named. */
export function firstPartName(name: string): string {
  const { stem, count } = partOf(name) ?? { count: 0 };
  return stem === undefined ? name : partName(stem, 1, count);
}

/** A model, or the first part of one: no further part, no projector of a vision model. */
export function isModelName(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const isOther = /mmproj|imatrix/i.test(name) || (partOf(name)?.part ?? 1) > 1;
  return name.endsWith('.gguf') && !isOther;
}

/** `Llama-3.2-1B-Q4_K_M` of `Llama-3.2-1B-Q4_K_M-00001-of-00002.gguf`. */
export function plainName(name: string): string {
  return partOf(name)?.stem ?? name.replace(/\.gguf$/, '');
}

const QUANTIZATION = /(?:^|[-._/])((?:I?Q\d\w*|TQ\d\w*|BF16|F16|F32|MXFP4))$/i;

/** `Q4_K_M` of `Llama-3.2-1B-Q4_K_M.gguf` or of `Q4_K_M/Llama-3.2-1B.gguf`. */
export function quantizationIn(path: string): string | undefined {
  const folder = path.slice(0, Math.max(0, path.lastIndexOf('/')));
  const match = QUANTIZATION.exec(plainName(path)) ?? QUANTIZATION.exec(folder);
  return match?.[1]?.toUpperCase();
}
