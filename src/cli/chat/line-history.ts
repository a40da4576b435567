// The input history of `attune chat`, kept between sessions in a file that only its owner can read.
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export interface LineHistory {
  /** Newest first. */
  readonly lines: readonly string[];
  /** Adds one line that was typed in a conversation. */
  add(line: string, conversationId: string): void;
  /**
   * Takes out what was typed in the conversation, and what of nobody knows where it was typed, as
   * in files of before 30 November 2026.
   */
  forget(conversationId: string): void;
}

interface Entry {
  readonly conversationId: string;
  readonly line: string;
}

const LINES_MAX = 500;
/** Longer lines were pasted rather than typed. */
const LINE_CHARACTERS_MAX = 4000;
const OWNER_ONLY = 0o600;

export function historyPath(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const state = environment.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  return join(state, 'attune', 'chat-history');
}

/** Where the file cannot be read or written, the chat works without history. */
export function openLineHistory(path = historyPath()): LineHistory {
  let entries: Entry[] = readEntries(path).slice(-LINES_MAX);
  attempt(() => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rewrite(path, entries);
  });
  return {
    get lines() {
      return entries.map(({ line }) => line).reverse();
    },
    // Appended, so that two terminals keep the lines of both.
    add(line, conversationId) {
      if (line.trim() === '' || line.length > LINE_CHARACTERS_MAX) return;
      const entry = { conversationId, line };
      attempt(() => {
        appendFileSync(path, textOf(entry), { mode: OWNER_ONLY });
        entries.push(entry);
      });
    },
    forget(conversationId) {
      entries = readEntries(path).filter(
        (one) => one.conversationId !== '' && one.conversationId !== conversationId,
      );
      attempt(() => rewrite(path, entries));
    },
  };
}

const textOf = ({ conversationId, line }: Entry): string => `${conversationId}\t${line}\n`;

function rewrite(path: string, entries: readonly Entry[]): void {
  writeFileSync(path, entries.map(textOf).join(''), { mode: OWNER_ONLY });
  chmodSync(path, OWNER_ONLY);
}

/** A line without the id of a conversation was written by an earlier release. */
const WITH_ID = /^([A-Za-z0-9_-]{0,64})\t(.*)$/;

function readEntries(path: string): Entry[] {
  const entries: Entry[] = [];
  attempt(() => {
    for (const text of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
      const [, conversationId = '', line = text] = WITH_ID.exec(text) ?? [];
      entries.push({ conversationId, line });
    }
  });
  return entries;
}

function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}
