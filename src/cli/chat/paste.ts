// Bracketed paste for the line editor: pasted lines become one short placeholder, which is
// replaced by the text when the line is sent.
import { Transform } from 'node:stream';

/** Switch the terminal's bracketed-paste mode on and off. */
export const BRACKETS_ON = '\u001b[?2004h';
export const BRACKETS_OFF = '\u001b[?2004l';
const BEGIN = '\u001b[200~';
const CTRL_C = '\u0003';
const END = '\u001b[201~';
/** One line up to this length is shown as it is. */
const SHOWN_MAX = 400;

export interface PasteInput {
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
