// Markdown as elements. No HTML passes through: text stays text, so nothing needs sanitising.
// Each text leaf knows where it stands in the source, so a selection maps back to exact words.
import { Marked, type Token, type Tokens } from 'marked';
import { Fragment, type VNode } from 'preact';
import { useErrorBoundary, useMemo } from 'preact/hooks';
import { CopyButton } from './copy.tsx';
import { findIn, type Piece, runsOf, wholeOf } from './source-offset.ts';

type Node = VNode | string | VNode[];
type Render = (token: Token, piece: Piece) => Node;

/** A text as it stands in the source. */
function leaf(piece: Piece): VNode {
  return (
    <>
      {runsOf(piece).map(({ text, start }) => (
        <span key={start} data-at={start} data-length={text.length}>
          {text}
        </span>
      ))}
    </>
  );
}

/** A text that is written otherwise in the source (an escape): selected whole or not at all. */
function standIn(text: string, { at }: Piece): VNode {
  const start = at[0] ?? 0;
  return (
    <span data-at={start} data-length={(at.at(-1) ?? start) + 1 - start}>
      {text}
    </span>
  );
}

/** The part of `piece` from `from` on that shows as `text`. */
function part(piece: Piece, text: string, from = 0): VNode {
  const found = findIn(piece, text, from);
  return found.isExact ? leaf(found.piece) : standIn(text, piece);
}

/** Formulas, as they were written: a backslash in one is no escape of Markdown's. */
const FORMULA = new RegExp(
  [
    /\$\$[^$]+\$\$/,
    /\\\([\s\S]{1,2000}?\\\)/,
    /\\\[[\s\S]{1,2000}?\\\]/,
    /\$(?![\s$])(?:\\.|[^\\$\n])+(?<!\s)\$(?!\d)/,
  ]
    .map(({ source }) => `^${source}`)
    .join('|'),
);
const lexer = new Marked({
  extensions: [
    {
      name: 'formula',
      level: 'inline',
      start: (source) => /\$|\\[([]/.exec(source)?.index,
      tokenizer(source) {
        const raw = FORMULA.exec(source)?.[0];
        return raw === undefined ? undefined : { type: 'formula', raw };
      },
    },
  ],
});

/** A text, rendered; one that cannot be is shown as it was written, and alone with that. */
export function Markdown({ text }: { text: string }): VNode {
  const [error] = useErrorBoundary();
  if (error === undefined) return <Rendered text={text} />;
  return (
    <p class="source" dir="auto">
      {leaf(wholeOf(text))}
    </p>
  );
}

function Rendered({ text }: { text: string }): VNode {
  const tokens = useMemo(() => lexer.lexer(text), [text]);
  return <div class="markdown">{each(tokens, wholeOf(text), block)}</div>;
}

/** Nobody reads what is deeper; the browser's stack ends at some hundreds. */
const DEPTH_MAX = 60;
let depth = 0;

/** Renders tokens that follow each other in `piece`. @throws RangeError for too deep nesting */
function each(tokens: readonly Token[], piece: Piece, render: Render): VNode[] {
  if (depth >= DEPTH_MAX) throw new RangeError('nested too deep');
  depth += 1;
  try {
    let cursor = 0;
    return tokens.map((token, index) => {
      const found = findIn(piece, token.raw, cursor);
      cursor = found.next;
      return <Fragment key={index}>{render(token, found.piece)}</Fragment>;
    });
  } finally {
    depth -= 1;
  }
}

function inlines(token: Token & { tokens?: Token[] }, piece: Piece): Node {
  if (token.tokens !== undefined) return each(token.tokens, piece, inline);
  return part(piece, 'text' in token ? String(token.text) : token.raw);
}

function block(token: Token, piece: Piece): Node {
  switch (token.type) {
    case 'space':
      return '';
    case 'heading': {
      // One level for all: what a model writes skips levels, and who listens to a page hears that.
      return (
        <h2 dir="auto" data-depth={(token as Tokens.Heading).depth}>
          {inlines(token, piece)}
        </h2>
      );
    }
    case 'paragraph':
      return <p dir="auto">{inlines(token, piece)}</p>;
    case 'code':
      return code(token as Tokens.Code, piece);
    case 'blockquote':
      return (
        <blockquote dir="auto">
          {each((token as Tokens.Blockquote).tokens, piece, block)}
        </blockquote>
      );
    case 'list':
      return list(token as Tokens.List, piece);
    case 'table':
      return table(token as Tokens.Table, piece);
    case 'hr':
      return <hr />;
    case 'text':
      return inlines(token, piece);
    case 'checkbox':
      return (token as Tokens.Checkbox).checked ? '☑ ' : '☐ ';
    default:
      return <p dir="auto">{leaf(piece)}</p>;
  }
}

function code({ text, codeBlockStyle }: Tokens.Code, piece: Piece): VNode {
  const inside = codeBlockStyle === 'indented' ? 0 : piece.text.indexOf('\n') + 1;
  return (
    <div class="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: long lines scroll with the keys too */}
      <pre dir="ltr" tabIndex={0}>
        <code>{part(piece, text, inside)}</code>
      </pre>
      <CopyButton text={text} what="this code" />
    </div>
  );
}

function list(token: Tokens.List, piece: Piece): VNode {
  const items = each(token.items, piece, (item, own) => (
    <li class={(item as Tokens.ListItem).task ? 'task' : undefined}>
      {each((item as Tokens.ListItem).tokens, own, block)}
    </li>
  ));
  const start = typeof token.start === 'number' ? token.start : undefined;
  return token.ordered ? (
    <ol dir="auto" start={start}>
      {items}
    </ol>
  ) : (
    <ul dir="auto">{items}</ul>
  );
}

function table(token: Tokens.Table, piece: Piece): VNode {
  let cursor = 0;
  const cell = (content: Tokens.TableCell): Node => {
    const found = findIn(piece, content.text, cursor);
    cursor = found.next;
    return each(content.tokens, found.piece, inline);
  };
  return (
    <div class="table">
      <table dir="auto">
        <thead>
          <tr>
            {token.header.map((content, i) => (
              <th key={i}>{cell(content)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row, i) => (
            <tr key={i}>
              {row.map((content, j) => (
                <td key={j}>{cell(content)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const SAFE_LINK = /^(https?:|mailto:)/i;

function inline(token: Token, piece: Piece): Node {
  switch (token.type) {
    case 'strong':
      return <strong>{inlines(token, piece)}</strong>;
    case 'em':
      return <em>{inlines(token, piece)}</em>;
    case 'del':
      return <del>{inlines(token, piece)}</del>;
    case 'codespan': {
      const marks = /^`+/.exec(token.raw)?.[0].length ?? 0;
      return <code>{part(piece, (token as Tokens.Codespan).text, marks)}</code>;
    }
    case 'br':
      return <br />;
    case 'link': {
      const { href } = token as Tokens.Link;
      if (!SAFE_LINK.test(href)) return leaf(piece);
      return (
        <a href={href} target="_blank" rel="noopener noreferrer nofollow">
          {inlines(token, piece)}
        </a>
      );
    }
    case 'escape':
      return standIn((token as Tokens.Escape).text, piece);
    case 'checkbox':
    case 'text':
      return token.type === 'text' ? inlines(token, piece) : block(token, piece);
    default:
      // Images, raw HTML and whatever comes later: shown as they were written.
      return leaf(piece);
  }
}
