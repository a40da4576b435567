// Markdown as elements. No HTML passes through: text stays text, so nothing needs sanitising.
// Each text leaf knows where it stands in the source, so a selection maps back to exact words.
import { Lexer, type Token, type Tokens } from 'marked';
import { Fragment, type VNode } from 'preact';

type Node = VNode | string | (VNode | string)[];

/** `data-at` is the offset in the source; `data-raw` is set when the text is not the source's. */
function leaf(text: string, at: number, rawLength = text.length): VNode {
  return (
    <span data-at={at} data-length={rawLength}>
      {text}
    </span>
  );
}

/** A reply's text, rendered. */
export function Markdown({ text }: { text: string }): VNode {
  return <div class="markdown">{blocks(new Lexer({ gfm: true }).lex(text), text, 0)}</div>;
}

/** Renders children that follow each other in `raw`, which stands at `at` in the source. */
function each(tokens: readonly Token[], raw: string, at: number, render: Render): VNode[] {
  let cursor = 0;
  return tokens.map((token, index) => {
    const found = raw.indexOf(token.raw, cursor);
    const start = found < 0 ? cursor : found;
    cursor = start + (found < 0 ? 0 : token.raw.length);
    return <Fragment key={index}>{render(token, at + start)}</Fragment>;
  });
}

type Render = (token: Token, at: number) => Node;

function blocks(tokens: readonly Token[], raw: string, at: number): VNode[] {
  return each(tokens, raw, at, block);
}

function inlines(token: Token & { tokens?: Token[] }, at: number): Node {
  return token.tokens === undefined
    ? leaf('text' in token ? token.text : token.raw, at, token.raw.length)
    : each(token.tokens, token.raw, at, inline);
}

function block(token: Token, at: number): Node {
  switch (token.type) {
    case 'space':
      return '';
    case 'heading': {
      const level = Math.min(6, (token as Tokens.Heading).depth + 2);
      const Tag = `h${level}` as 'h3';
      return <Tag>{inlines(token, at)}</Tag>;
    }
    case 'paragraph':
      return <p>{inlines(token, at)}</p>;
    case 'code': {
      const code = token as Tokens.Code;
      const inside = Math.max(0, code.raw.indexOf(code.text));
      return (
        <pre>
          <code>{leaf(code.text, at + inside)}</code>
        </pre>
      );
    }
    case 'blockquote':
      return <blockquote>{blocks((token as Tokens.Blockquote).tokens, token.raw, at)}</blockquote>;
    case 'list':
      return list(token as Tokens.List, at);
    case 'table':
      return table(token as Tokens.Table, at);
    case 'hr':
      return <hr />;
    case 'text':
      return inlines(token, at);
    default:
      return <p>{leaf(token.raw, at)}</p>;
  }
}

function list(token: Tokens.List, at: number): VNode {
  const items = each(token.items, token.raw, at, (item, itemAt) => (
    <li>{blocks((item as Tokens.ListItem).tokens, item.raw, itemAt)}</li>
  ));
  const start = typeof token.start === 'number' ? token.start : undefined;
  return token.ordered ? <ol start={start}>{items}</ol> : <ul>{items}</ul>;
}

function table(token: Tokens.Table, at: number): VNode {
  let cursor = 0;
  const cell = (content: Tokens.TableCell): Node => {
    const found = token.raw.indexOf(content.text, cursor);
    if (found >= 0) cursor = found + content.text.length;
    return each(content.tokens, content.text, at + Math.max(found, 0), inline);
  };
  return (
    <div class="table">
      <table>
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

function inline(token: Token, at: number): Node {
  switch (token.type) {
    case 'strong':
      return <strong>{inlines(token, at)}</strong>;
    case 'em':
      return <em>{inlines(token, at)}</em>;
    case 'del':
      return <del>{inlines(token, at)}</del>;
    case 'codespan': {
      const inside = Math.max(0, token.raw.indexOf((token as Tokens.Codespan).text));
      return <code>{leaf((token as Tokens.Codespan).text, at + inside)}</code>;
    }
    case 'br':
      return <br />;
    case 'link': {
      const { href } = token as Tokens.Link;
      if (!SAFE_LINK.test(href)) return leaf(token.raw, at);
      return (
        <a href={href} target="_blank" rel="noopener noreferrer nofollow">
          {inlines(token, at)}
        </a>
      );
    }
    case 'escape':
      return leaf((token as Tokens.Escape).text, at, token.raw.length);
    case 'text':
      return inlines(token as Tokens.Text, at);
    default:
      // Images, raw HTML and whatever comes later: shown as they were written.
      return leaf(token.raw, at);
  }
}
