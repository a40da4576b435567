// The cells of the training experiment, in the order in which they are run.
import type { Arm } from '../../src/train/arms.ts';
import { REMEDIES, type Remedy } from './settings.ts';
import type { ExperimentSize } from './size.ts';

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

const named = (cell: Omit<Cell, 'name'>): Cell => ({
  ...cell,
  name: `${cell.group}-${cell.dose}-${cell.seed}`,
});

export const headlineDose = ({ doses }: ExperimentSize): number => doses[3];

/** What matters most first, so that a run that is cut off has it. */
export function cellsOf(size: ExperimentSize): Cell[] {
  const dose = headlineDose(size);
  const [small, middle, large] = size.doses;
  const real = (seed: number, of = dose): Cell =>
    named({ group: 'real', arm: 'real', dose: of, seed, isFlatnessRead: of === dose && seed <= 3 });
  const deaf = (seed: number, of = dose): Cell =>
    named({ group: 'deaf', arm: 'deaf', dose: of, seed });
  const asFar = (seed: number) => ({ dose, seed, normOf: real(seed).name });
  const sham = (seed: number): Cell => named({ group: 'sham', arm: 'sham', ...asFar(seed) });
  const adamw = (seed: number): Cell =>
    named({
      group: 'adamw',
      arm: 'real',
      optimizer: 'adamw',
      ...asFar(seed),
      isFlatnessRead: true,
    });
  const qkvo = (seed: number): Cell =>
    named({ group: 'qkvo', arm: 'real', weights: 'qkvo', dose, seed });
  const pairs = (from: number, to: number): Cell[] =>
    [1, 2, 3, 4, 5]
      .filter((seed) => seed >= from && seed <= Math.min(to, size.seeds))
      .flatMap((seed) => [real(seed), deaf(seed)]);
  const others = (seed: number): Cell[] => [adamw(seed), qkvo(seed)];
  const doses = (seed: number): Cell[] => [large, middle, small].map((of) => real(seed, of));
  return [
    named({ group: 'base', arm: 'none', dose: 0, seed: 0 }),
    ...pairs(1, 3),
    ...others(1),
    ...doses(1),
    sham(1),
    deaf(1, large),
    named({ group: 'surface', arm: 'surface', dose, seed: 1 }),
    ...pairs(4, 5),
    ...others(2),
    sham(2),
    ...doses(2),
    ...(size.seeds > 2 ? [...others(3), sham(3)] : []),
  ];
}

/** Real and deaf under each remedy, two seeds; run when the headline shows nothing. */
export function remedyCellsOf(size: ExperimentSize): Cell[] {
  const dose = headlineDose(size);
  return [1, 2].flatMap((seed) =>
    (Object.keys(REMEDIES) as Remedy[]).flatMap((remedy) =>
      (['real', 'deaf'] as const).map((arm) =>
        named({ group: `${arm}~${remedy}`, arm, remedy, dose, seed }),
      ),
    ),
  );
}
