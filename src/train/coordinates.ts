// The coordinates in which one arm trains: whitened by what is held, each matrix as long as it has
// to learn.
import type { HostTensor } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import { type Curvature, type CurvatureOptions, curvatureOf } from './curvature.ts';
import type { Parameter } from './optimizer.ts';
import { lengthened, normOfCoordinates, type Whitening, whiteningOf } from './whitening.ts';

/** Examples on which curvature is read. */
const CURVATURE_EXAMPLES = 48;
/** A matrix that has next to nothing to learn moves by this share of the mean. */
const SHARE_MIN = 0.05;

export class Coordinates {
  readonly #parameters: readonly Parameter[];
  /** For these examples alone; another arm with the same ones begins here. */
  #read: { readonly key: string; readonly whitenings: Map<string, Whitening> } | undefined;
  #scaled = new Map<string, Whitening>();

  constructor(parameters: readonly Parameter[]) {
    this.#parameters = parameters;
  }

  /** Of a matrix. */
  readonly of = (name: string): Whitening => this.#scaled.get(name) as Whitening;

  /** Reads how far each direction moves these, once for the same ones; false: it was aborted. */
  async read(all: readonly Example[], options: CurvatureOptions): Promise<boolean> {
    const every = Math.ceil(all.length / CURVATURE_EXAMPLES);
    const examples = all.filter((_, i) => i % every === 0);
    const key = examples.map(({ scenario: { id } }) => id).join(' ');
    if (this.#read?.key !== key) {
      const curvatures = await curvatureOf(examples, options);
      if (curvatures === undefined) return false;
      const whitenings = new Map<string, Whitening>();
      for (const { name, shape } of this.#parameters) {
        whitenings.set(name, await whiteningOf(curvatures[name] as Curvature, shape));
      }
      this.#read = { key, whitenings };
    }
    this.#scaled = new Map(this.#read.whitenings);
    return true;
  }

  /** Each matrix moves in proportion to its first gradient. @param sums gradients, by matrix */
  scale(sums: Readonly<Record<string, HostTensor>>): void {
    const norms = this.#parameters.map(({ name }) =>
      normOfCoordinates(sums[name]?.data as Float32Array, this.of(name)),
    );
    const mean = norms.reduce((total, norm) => total + norm, 0) / norms.length;
    for (const [i, { name }] of this.#parameters.entries()) {
      const share = mean === 0 ? 1 : Math.max(SHARE_MIN, (norms[i] as number) / mean);
      this.#scaled.set(name, lengthened(this.of(name), share));
    }
  }
}
