// The terminal of an interactive command: lines and pastes in, text out; also over a pipe.
import { createInterface, type Interface } from 'node:readline';
import { Transform, Writable } from 'node:stream';
import type { LineHistory } from './line-history.ts';

export interface Terminal {
  /** False over a pipe: no prompt, no colours, no history. */
  readonly isInteractive: boolean;
  /** Writes text as it is, without a line end. A model's text must go through `printable` first. */
  write(text: string): void;
  /** A line of the program itself, in a dim colour. */
  note(text: string): void;
  /** The next line of the input; undefined at its end. */
  readLine(prompt: string, options?: ReadLineOptions): Promise<string | undefined>;
  /** Shows the prompt and the typed text again, after other output. */
  refresh(): void;
  /** Lines for the arrow keys that come before those of the history file, newest first. */
  setHistory(lines: readonly string[]): void;
  /** Nothing that was typed in the conversation comes back with the arrow keys, also later. */
  forget(conversationId: string): void;
  close(): void;
}

export interface ReadLineOptions {
  /**
   * The line goes into the history file. Answers to questions do not, nor do lines with the
   * placeholder of a paste, which the next session cannot resolve.
   */
  readonly isKept?: boolean;
  /** Stands in the line already; not over a pipe. */
  readonly typed?: string;
}

export interface TerminalOptions {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Ctrl-C; `typed` is the text of the line, which is cleared. */
  readonly onInterrupt: (typed: string) => void;
  /** Offered each line that arrives while nobody waits for one. @returns true to consume it */
  readonly takeAtOnce?: (line: string) => boolean;
  /** Not called over a pipe. */
  readonly openHistory?: () => LineHistory;
  /** The conversation in which is typed what is typed now. */
  readonly conversationId?: () => string;
}

/** Without control characters, which could take control of the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to take out
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}

const QUIET = '\u001b[2m';
const PLAIN = '\u001b[0m';
const HISTORY_MAX = 500;
const CLEAR_LINE = '\r\u001b[K';

export function openTerminal(options: TerminalOptions): Terminal {
  const { input, output } = options;
  const isInteractive = input.isTTY === true && output.isTTY === true;
  const lines: string[] = [];
  let waiting: ((line: string | undefined) => void) | undefined;
  let isKept = false;
  let isEnded = false;

  const { screen, onResize } = createScreen(output, () => waiting !== undefined);
  const pastes = createPasteInput();
  const history = isInteractive ? options.openHistory?.() : undefined;
  const lineReader = createInterface({
    input: isInteractive ? throughPastes(input, pastes.stream) : input,
    output: screen,
    terminal: isInteractive,
    history: [...(history?.lines ?? [])],
    historySize: HISTORY_MAX,
    removeHistoryDuplicates: true,
  });
  if (isInteractive) output.on('resize', onResize).write(BRACKETS_ON);

  /** Output never goes onto the line that is being typed. */
  let isPromptShown = false;
  function hidePrompt(): void {
    if (isPromptShown) output.write(CLEAR_LINE);
    isPromptShown = false;
  }
  function showPrompt(): void {
    if (waiting === undefined || !isInteractive || isPromptShown) return;
    isPromptShown = true;
    lineReader.prompt(true);
  }

  function hand(line: string | undefined): void {
    const resolve = waiting;
    waiting = undefined;
    isPromptShown = false;
    resolve?.(line);
  }

  lineReader.on('line', (written) => {
    const line = pastes.expand(written);
    if (waiting === undefined && options.takeAtOnce?.(line) === true) return;
    if (waiting === undefined) {
      lines.push(line);
      return;
    }
    if (!isKept) forgetNewest(lineReader);
    else if (line === written) history?.add(line, options.conversationId?.() ?? '');
    hand(line);
  });
  lineReader.on('close', () => {
    isEnded = true;
    hand(undefined);
  });
  lineReader.on('SIGINT', () => {
    const typed = lineReader.line;
    clearLine(lineReader);
    hidePrompt();
    options.onInterrupt(typed);
    showPrompt();
  });

  return {
    isInteractive,
    write(text) {
      hidePrompt();
      output.write(text);
    },
    note(text) {
      hidePrompt();
      output.write(isInteractive ? `${QUIET}${text}${PLAIN}\n` : `${text}\n`);
    },
    refresh: showPrompt,
    readLine(prompt, asked) {
      isKept = asked?.isKept ?? false;
      const line = lines.shift();
      // Typed during other output, and not shown then.
      if (line !== undefined && isInteractive) output.write(`${prompt}${line}\n`);
      if (line !== undefined || isEnded) return Promise.resolve(line);
      return new Promise((resolve) => {
        waiting = resolve;
        if (!isInteractive) return;
        lineReader.setPrompt(prompt);
        showPrompt();
        if (asked?.typed !== undefined) lineReader.write(asked.typed);
      });
    },
    setHistory(said) {
      const all = [...new Set([...said, ...(history?.lines ?? [])])].slice(0, HISTORY_MAX);
      (lineReader as WithHistory).history = all;
    },
    forget(conversationId) {
      history?.forget(conversationId);
      if (isInteractive) (lineReader as WithHistory).history = [...(history?.lines ?? [])];
    },
    close() {
      isEnded = true;
      lineReader.close();
      if (!isInteractive) return;
      output.off('resize', onResize).write(BRACKETS_OFF);
      input.unpipe(pastes.stream);
      input.pause();
    },
  };
}

/** While no line is asked for, readline keeps what is typed, but does not show it amid the reply. */
function createScreen(output: TerminalOptions['output'], isShown: () => boolean) {
  const echo = new Writable({
    write(chunk, _encoding, done) {
      if (isShown()) output.write(chunk);
      done();
    },
  });
  const screen = Object.assign(echo, { columns: output.columns ?? 80 });
  const onResize = (): void => {
    screen.columns = output.columns ?? 80;
    screen.emit('resize');
  };
  return { screen, onResize };
}

/** A terminal's input through a stream that readline still takes for a terminal. */
function throughPastes(
  input: TerminalOptions['input'],
  stream: PasteInput['stream'],
): NodeJS.ReadableStream {
  const { setRawMode } = input as { setRawMode?: (isRaw: boolean) => unknown };
  const keys = Object.assign(stream, {
    isTTY: true,
    setRawMode: (isRaw: boolean) => setRawMode?.call(input, isRaw),
  });
  return input.pipe(keys);
}

/** Undocumented and untyped, and part of readline since its beginning. */
type WithHistory = Interface & { history: string[] };

/** Answers to questions do not come back with the arrow keys. */
function forgetNewest(lineReader: Interface): void {
  (lineReader as Partial<WithHistory>).history?.shift();
}

function clearLine(lineReader: Interface): void {
  lineReader.write(null, { ctrl: true, name: 'e' });
  lineReader.write(null, { ctrl: true, name: 'u' });
}

// Bracketed paste for the line editor: pasted lines become one short placeholder, which is
// replaced by the text when the line is sent.

/** Switch the terminal's bracketed-paste mode on and off. */
const BRACKETS_ON = '\u001b[?2004h';
const BRACKETS_OFF = '\u001b[?2004l';
const BEGIN = '\u001b[200~';
const CTRL_C = '\u0003';
const END = '\u001b[201~';
/** One line up to this length is shown as it is. */
const SHOWN_MAX = 400;

interface PasteInput {
  /** What the line editor reads. */
  readonly stream: Transform;
  /** The line with its placeholders replaced by the pasted text. */
  expand(line: string): string;
}

export function createPasteInput(): PasteInput {
  const pastes: string[] = [];
  let rest = '';
  const stream = new Transform({
    decodeStrings: false,
    transform(chunk: Buffer | string, _encoding, done) {
      const typed = chunk.toString();
      // Ctrl-C by itself drops a paste whose end never came.
      rest = typed === CTRL_C ? typed : rest + typed;
      const out: string[] = [];
      for (;;) {
        const begin = rest.indexOf(BEGIN);
        const end = begin < 0 ? -1 : rest.indexOf(END, begin);
        if (end < 0) break;
        out.push(rest.slice(0, begin), shown(rest.slice(begin + BEGIN.length, end), pastes));
        rest = rest.slice(end + END.length);
      }
      const kept = heldBack(rest);
      out.push(rest.slice(0, rest.length - kept));
      rest = rest.slice(rest.length - kept);
      done(null, out.join(''));
    },
  });
  return {
    stream,
    expand: (line) =>
      line.replace(/\[pasted (\d+): [^\]]*\]/g, (mark, n) => pastes[Number(n) - 1] ?? mark),
  };
}

/** Length of the end that is, or may become, a paste that has not arrived whole. */
function heldBack(text: string): number {
  const begin = text.indexOf(BEGIN);
  if (begin >= 0) return text.length - begin;
  for (let length = BEGIN.length - 1; length > 2; length--) {
    if (text.endsWith(BEGIN.slice(0, length))) return length;
  }
  return 0;
}

/** What the line shows for a paste. */
function shown(pasted: string, pastes: string[]): string {
  const text = pasted
    .replace(/\r\n?/g, '\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a paste presses no keys
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '')
    .replace(/\n+$/, '');
  const lines = text.split('\n').length;
  if (lines === 1 && text.length <= SHOWN_MAX) return text;
  const size = lines === 1 ? `${text.length} characters` : `${lines} lines`;
  return `[pasted ${pastes.push(text)}: ${size}]`;
}
