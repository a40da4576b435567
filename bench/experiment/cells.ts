// The cells of the training experiment, in the order in which they are run.
import type { Arm } from '../../src/train/arms.ts';
import { REMEDIES, type Remedy } from './settings.ts';

export interface Cell {
  /** Also the name of its file. */
  readonly name: string;
  readonly group: string;
  readonly arm: Arm | 'surface' | 'none';
  readonly dose: number;
  readonly seed: number;
  readonly optimizer?: 'adamw';
  readonly weights?: 'qkvo';
  readonly remedy?: Remedy;
  /** The delta is brought to the norm of this run's. */
  readonly normOf?: string;
  readonly isFlatnessRead?: boolean;
}

const DOSE = 500;
const named = (cell: Omit<Cell, 'name'>): Cell => ({
  ...cell,
  name: `${cell.group}-${cell.dose}-${cell.seed}`,
});
const real = (seed: number, dose = DOSE): Cell =>
  named({ group: 'real', arm: 'real', dose, seed, isFlatnessRead: dose === DOSE && seed <= 3 });
const deaf = (seed: number, dose = DOSE): Cell => named({ group: 'deaf', arm: 'deaf', dose, seed });
const sham = (seed: number): Cell =>
  named({ group: 'sham', arm: 'sham', dose: DOSE, seed, normOf: `real-${DOSE}-${seed}` });
const adamw = (seed: number): Cell =>
  named({
    group: 'adamw',
    arm: 'real',
    optimizer: 'adamw',
    dose: DOSE,
    seed,
    normOf: `real-${DOSE}-${seed}`,
    isFlatnessRead: true,
  });
const qkvo = (seed: number): Cell =>
  named({ group: 'qkvo', arm: 'real', weights: 'qkvo', dose: DOSE, seed });
const surface = named({ group: 'surface', arm: 'surface', dose: DOSE, seed: 1 });

/** What matters most first, so that a run that is cut off has it. */
export const CELLS: readonly Cell[] = [
  named({ group: 'base', arm: 'none', dose: 0, seed: 0 }),
  real(1),
  deaf(1),
  real(2),
  deaf(2),
  real(3),
  deaf(3),
  adamw(1),
  qkvo(1),
  real(1, 100),
  real(1, 20),
  real(1, 5),
  sham(1),
  deaf(1, 100),
  surface,
  real(4),
  deaf(4),
  real(5),
  deaf(5),
  adamw(2),
  qkvo(2),
  sham(2),
  real(2, 100),
  real(2, 20),
  real(2, 5),
  adamw(3),
  qkvo(3),
  sham(3),
];

/** Real and deaf under each remedy, two seeds; run when the headline shows nothing. */
export const REMEDY_CELLS: readonly Cell[] = [1, 2].flatMap((seed) =>
  (Object.keys(REMEDIES) as Remedy[]).flatMap((remedy) =>
    (['real', 'deaf'] as const).map((arm) =>
      named({ group: `${arm}~${remedy}`, arm, remedy, dose: DOSE, seed }),
    ),
  ),
);
