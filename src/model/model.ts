// A model folder read and checked: config, and where in which file each weight lies as f32.
import type { ModelConfig } from './config.ts';
import type { GenerationDefaults } from './generation-config.ts';

/** Where f32 bytes lie; the path is real (no symlink in it). */
export interface Place {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface Weight {
  /** Ours: `layers.0.qProj`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** All weights of a model lie in one folder. */
  readonly place: Place;
}

export interface Model {
  readonly id: string;
  /** Real path of the folder. */
  readonly dir: string;
  readonly config: ModelConfig;
  readonly generation: GenerationDefaults;
  /** 64 hex digits: names, types, shapes and bytes of the weights, however they are sharded. */
  readonly baseHash: string;
  /** Tokens that prompt and reply may have together. */
  readonly windowTokens: number;
  readonly parameters: number;
  /** By our names. */
  readonly weights: ReadonlyMap<string, Weight>;
}
