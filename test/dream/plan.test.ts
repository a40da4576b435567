import { describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { type Plan, planDreams } from '../../src/dream/plan.ts';
import { floorOf, spreadUnits } from '../../src/dream/quota.ts';
import { KINDS, type Kind } from '../../src/scenario/kind.ts';
import { fc } from '../property.ts';
import { flag, gist, prompts, settings } from './dreaming.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** What the plans make once they are written: a structured push-back brings its other side along. */
function kindsOf(plans: readonly Plan[]): Kind[] {
  return plans.flatMap(({ kind, way }) =>
    way === 'structured' && kind === 'push-back' ? [kind, 'listen' as const] : [kind],
  );
}

const count = (kinds: readonly Kind[], kind: Kind): number =>
  kinds.filter((one) => one === kind).length;

const nights = fc.record({
  flags: fc.integer({ min: 0, max: 60 }),
  gists: fc.integer({ min: 0, max: 8 }),
  dreamsMax: fc.integer({ min: 0, max: 300 }),
  seed: fc.nat(),
  isAnswered: fc.boolean(),
  isWhole: fc.boolean(),
});
type Night = typeof nights extends fc.Arbitrary<infer T> ? T : never;

const GISTS = await Promise.all(
  Array.from({ length: 8 }, (_, i) =>
    gist(`talk-${i}`, i % 2 === 0 ? 'No, not that one.' : 'I am so worried about Anna.'),
  ),
);

function planOf({ flags, gists, dreamsMax, seed, isAnswered, isWhole }: Night): Plan[] {
  return planDreams({
    settings,
    prompts,
    flagged: Array.from({ length: flags }, (_, i) =>
      flag(`${i}`, { strength: 1 + (i % 3), ...(isAnswered ? {} : { chosen: undefined }) }),
    ),
    gists: GISTS.slice(0, gists),
    dreamsMax,
    random: createRandom(seed),
    isWhole,
  });
}

/** What the seeds can carry: memories are never used up, a flag has so many angles. */
const possible = ({ flags, gists, dreamsMax }: Night): number =>
  gists > 0 ? dreamsMax : Math.min(dreamsMax, flags * settings.anglesPerFlag);

describe('the plan of a night', () => {
  it('makes exactly as many dreams as it may, and of each kind no fewer than the floor', () => {
    fc.assert(
      fc.property(nights, (night) => {
        const kinds = kindsOf(planOf(night));
        expect(kinds).toHaveLength(possible(night));
        for (const kind of KINDS) {
          expect(count(kinds, kind)).toBeGreaterThanOrEqual(floorOf(possible(night)));
        }
      }),
    );
  });

  it('never plans a push-back without the listen beside it', () => {
    fc.assert(
      fc.property(nights, (night) => {
        const plans = planOf(night);
        for (const { kind, way, pair } of plans) {
          if (kind !== 'push-back' || way !== 'whole') continue;
          const other = plans.find((one) => one.pair?.id === pair?.id && one.kind === 'listen');
          expect(other).toMatchObject({ pair: { side: 'b' } });
        }
        const kinds = kindsOf(plans);
        expect(count(kinds, 'listen')).toBeGreaterThanOrEqual(count(kinds, 'push-back'));
      }),
    );
  });

  it('shares its dreams between flags and memories as configured', () => {
    fc.assert(
      fc.property(nights, (night) => {
        fc.pre(night.flags > 0 && night.gists > 0);
        const plans = planOf(night);
        const directed = plans.filter(({ id }) => id.startsWith('dream-f-'));
        const most = Math.min(
          night.flags * settings.anglesPerFlag,
          night.dreamsMax * settings.directedShare,
        );
        expect(Math.abs(kindsOf(directed).length - most)).toBeLessThanOrEqual(2);
      }),
    );
  });

  it('sees each flag it dreams of from several angles, and draws flags when there are too many', () => {
    fc.assert(
      fc.property(nights, (night) => {
        fc.pre(night.flags > 0 && night.gists === 0 && night.dreamsMax >= 8);
        const angles = new Map<string, number>();
        for (const { id, kind, way } of planOf({ ...night, isWhole: false })) {
          const flagId = id.replace(/^dream-f-(\d+)-\d+$/, '$1');
          const made = kind === 'push-back' && way === 'structured' ? 2 : 1;
          angles.set(flagId, (angles.get(flagId) ?? 0) + made);
        }
        for (const dreams of angles.values()) {
          expect(dreams).toBeGreaterThanOrEqual(night.dreamsMax >= 3 * night.flags ? 1 : 2);
          expect(dreams).toBeLessThanOrEqual(settings.anglesPerFlag + 2);
        }
        expect(angles.size).toBe(
          Math.min(night.flags, Math.max(1, Math.floor(possible(night) / 3))),
        );
      }),
    );
  });

  it('is the same for the same seed, and another for another', () => {
    fc.assert(fc.property(nights, (night) => void expect(planOf(night)).toEqual(planOf(night))));
    const night = { flags: 3, gists: 3, dreamsMax: 40, isAnswered: true, isWhole: false };
    expect(planOf({ ...night, seed: 1 })).not.toEqual(planOf({ ...night, seed: 2 }));
  });

  it('dreams of all kinds from the flags of a first night, when no talk rests yet', () => {
    const night = { flags: 26, gists: 0, dreamsMax: 48, seed: 1, isAnswered: true, isWhole: false };
    const plans = planOf(night);
    const kinds = kindsOf(plans);
    for (const kind of KINDS) expect(count(kinds, kind)).toBeGreaterThanOrEqual(3);
    const replays = plans.filter(({ way }) => way === 'replay').length;
    expect(replays).toBeGreaterThan(0);
    expect(replays).toBeLessThan(count(kinds, 'listen'));
  });

  it('answers a flag without better words first of all, where it stands', () => {
    const night = { flags: 4, gists: 0, dreamsMax: 40, seed: 3, isAnswered: false, isWhole: false };
    const replays = planOf(night).filter(({ way }) => way === 'replay');
    const where = new Map<string, number>();
    for (const plan of replays) {
      if (plan.way !== 'replay' || where.has(plan.flag.flagId)) continue;
      where.set(plan.flag.flagId, plan.angle.distance);
    }
    expect([...where.values()]).toEqual([0, 0, 0, 0]);
  });
});

describe('the order of the plan', () => {
  it('spreads every kind over it, so that it may stop anywhere', () => {
    fc.assert(
      fc.property(fc.integer({ min: 16, max: 300 }), fc.nat(), (dreams, seed) => {
        const units = spreadUnits(dreams, createRandom(seed));
        for (const kind of KINDS) {
          const own = units.flatMap((unit, at) => (unit.kind === kind ? [at / units.length] : []));
          // A kind with n dreams has one in each n-th part, give or take its neighbours.
          if (own.length < 4) continue;
          expect(own[0]).toBeLessThan(0.5);
          expect(own.at(-1)).toBeGreaterThan(0.5);
        }
      }),
    );
  });
});
