// A scene of the listening test: a conversation, the sentence that decides what the reply should
// do, and its crossed twin, in which the opposite is right.
import type { Thing } from './suite.ts';

/** How many other exchanges lie between a direction and the last question. */
export const DISTANCES = [0, 1, 2, 4, 8] as const;

/** Scenes that look alike and want something else. */
export const TWINS = ['accepted', 'asked-again', 'push-back', 'feelings', 'absent'] as const;
export type SceneKind = 'listen' | (typeof TWINS)[number];

/** How often the model put its own idea: once, pushed before the direction, again after it. */
export const PRESSURES = ['once', 'pushed', 'after'] as const;
export type Pressure = (typeof PRESSURES)[number];

export interface SceneMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** What a reply that listens does. */
export type Act = 'carry-out' | 'object' | 'condole' | 'congratulate' | 'ask';

export interface Scene {
  /** Ends with the person's last message. */
  readonly messages: readonly SceneMessage[];
  /** The sentence of the person that decides, as it was said, and in which message. */
  readonly deciding: { readonly message: number; readonly text: string };
  readonly act: Act;
  /** What to carry out, or what to leave alone where the act is another. */
  readonly right: Thing;
  readonly other: Thing;
  /** Why the direction would be wrong; in push-backs and their harmless twins. */
  readonly against?: string;
}

/** Two scenes with the same candidate beginnings of a reply; in each the opposite ones are right. */
export interface ScenePair {
  readonly id: string;
  readonly kind: SceneKind;
  readonly distance: number;
  readonly pressure: Pressure | null;
  readonly domain: string;
  readonly sides: readonly [Scene, Scene];
  /** `candidates[i]` are right on `sides[i]`; three each, in the same order. */
  readonly candidates: readonly [readonly string[], readonly string[]];
}

/** What results are told apart by: `listen, 4 turns`, `push-back`. */
export function cellOf({ kind, distance }: Pick<ScenePair, 'kind' | 'distance'>): string {
  return kind === 'listen' ? `listen, ${distance} turns` : kind;
}

/** All cells, in the order in which they are shown. */
export const CELLS: readonly string[] = [
  ...DISTANCES.map((distance) => cellOf({ kind: 'listen', distance })),
  ...TWINS,
];
