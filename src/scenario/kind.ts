// The kinds of decision points and the features whose spans are marked; names only, no behaviour.

/** What is at stake at the decision point. */
export const KINDS = [
  'listen',
  'push-back',
  'invite',
  'undercurrent',
  'compressed',
  'longing',
  'hostile',
  'ordinary',
] as const;
export type Kind = (typeof KINDS)[number];

/** What a marked span of the context is. */
export const FEATURES = [
  'direction',
  'own-idea',
  'technical',
  'emotion',
  'momentum',
  'absence',
] as const;
export type Feature = (typeof FEATURES)[number];

/** Where a scenario comes from. `suite` and `sgd` are never dreamt. */
export const ORIGINS = ['suite', 'sgd', 'flag', 'dream', 'log'] as const;
