// The terminal of an interactive command: lines in, text out; works over a pipe as well.
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { LineHistory } from './line-history.ts';
import { BRACKETS_OFF, BRACKETS_ON, createPasteInput, type PasteInput } from './paste.ts';

export interface Terminal {
  /** False over a pipe: no prompt, no colours, no history. */
  readonly isInteractive: boolean;
  /** As it is, without a line end; what a model said must go through `printable` first. */
  write(text: string): void;
  /** A line of our own, in a quiet colour. */
  note(text: string): void;
  /** The next line that was entered; undefined at the end of the input. */
  readLine(prompt: string, options?: ReadLineOptions): Promise<string | undefined>;
  /** Shows the prompt again, with what was typed, after something was written over it. */
  refresh(): void;
  /** What the arrow keys bring back before what was kept, newest first. */
  setHistory(lines: readonly string[]): void;
  close(): void;
}

export interface ReadLineOptions {
  /**
   * The line goes into the history that outlives the session. Answers to questions do not, nor do
   * lines with a mark for what was pasted: it means nothing in the next session.
   */
  readonly isKept?: boolean;
}

export interface TerminalOptions {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Ctrl-C; `typed` is what stood on the line, which is cleared. */
  readonly onInterrupt: (typed: string) => void;
  /** A line that is for right now, even while something is written; true when it was taken. */
  readonly takeAtOnce?: (line: string) => boolean;
  readonly hasColour?: boolean;
  /** Asked for where somebody types, not over a pipe. */
  readonly openHistory?: () => LineHistory;
}

/** Without control characters, with which a text could take over the terminal. */
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
  const hasColour = options.hasColour ?? isInteractive;
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

  /** Nothing of ours is written onto the line on which somebody types. */
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
    else if (line === written) history?.add(line);
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
      output.write(hasColour ? `${QUIET}${text}${PLAIN}\n` : `${text}\n`);
    },
    refresh: showPrompt,
    readLine(prompt, asked) {
      isKept = asked?.isKept ?? false;
      const line = lines.shift();
      // Typed while something was written, and not shown then.
      if (line !== undefined && isInteractive) output.write(`${prompt}${line}\n`);
      if (line !== undefined || isEnded) return Promise.resolve(line);
      return new Promise((resolve) => {
        waiting = resolve;
        if (!isInteractive) return;
        lineReader.setPrompt(prompt);
        showPrompt();
      });
    },
    setHistory(said) {
      const all = [...new Set([...said, ...(history?.lines ?? [])])].slice(0, HISTORY_MAX);
      (lineReader as WithHistory).history = all;
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

/** While nobody is asked, what is typed is kept by readline but not shown amid the reply. */
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

/** The keys of a terminal by way of a stream; what the line editor asks of a terminal still works. */
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

/** Typed by nobody, documented by nobody, and there since readline began. */
type WithHistory = Interface & { history: string[] };

/** The arrow keys bring back what was said, not the answers to questions. */
function forgetNewest(lineReader: Interface): void {
  (lineReader as Partial<WithHistory>).history?.shift();
}

function clearLine(lineReader: Interface): void {
  lineReader.write(null, { ctrl: true, name: 'e' });
  lineReader.write(null, { ctrl: true, name: 'u' });
}
