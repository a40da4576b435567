// How a talk begins: the records before its first message, and the state that they make.
import { type HeaderRecord, LOG_SCHEMA_VERSION, type LogRecord } from '../conversation/record.ts';
import { applyRecord, type ConversationState, emptyState } from '../conversation/state.ts';

export type Beginning = readonly [HeaderRecord, ...LogRecord[]];

/** A live talk without a title or settings of its own. */
export function emptyTalk(id: string, at: number): HeaderRecord {
  const talk = { origin: 'live', title: '', settings: {}, canLearn: true } as const;
  return { type: 'conversation', schemaVersion: LOG_SCHEMA_VERSION, id, at, ...talk };
}

/** The talk that these records will be. */
export function begun(records: Beginning): ConversationState {
  const state = emptyState(records[0].id);
  for (const record of records) applyRecord(state, record);
  return state;
}
