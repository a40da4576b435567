import { describe, expect, it } from 'vitest';
import { createChatTemplate } from '../../src/tokenizer/chat-template.ts';

function render(source: string, variables: Record<string, unknown> = {}): string {
  const context = { addGenerationPrompt: false, namedTokens: {}, now: new Date(0), variables };
  return createChatTemplate(source).render([], context).text;
}

/** What Python's Jinja 3.1 writes. */
const IN_PYTHON: readonly (readonly [string, string])[] = [
  [`{{ '\\n  a\\n'.lstrip('\\n') }}|`, '  a\n|'],
  [`{{ '\\n  a\\n'.rstrip('\\n') }}|`, '\n  a|'],
  [`{{ '\\n  a\\n'.strip('\\n') }}|`, '  a|'],
  [`{{ '\\n  a\\n'.strip() }}|`, 'a|'],
  [`{{ 'xyaxy'.strip('yx') }}`, 'a'],
  [`{{ ('a</think>' ~ '\\n\\n    code').split('</think>')[-1].lstrip('\\n') }}`, '    code'],
  [`{{ '..a..' | trim('.') }}|{{ ' a ' | trim }}`, 'a|a'],
  [`{{ 'a.b.c'.rsplit('.', 1)[0] }}`, 'a.b'],
  [`{{ '' == false }}{{ '1' == 1 }}{{ none == false }}{{ gone == none }}`, 'falsefalsefalsefalse'],
  [`{{ '1' != 1 }}{{ 1 == 1.0 }}{{ true == 1 }}{{ none == none }}`, 'truetruetruetrue'],
  [`{{ [1, 'a'] == [1, 'a'] }}{{ [] == [0] }}`, 'truefalse'],
  [`{% for key, value in {0: 'a', 512: 'b'}.items() %}{{ key }}{{ value }}{% endfor %}`, '0a512b'],
  [`{{ none | selectattr('x') | list | length }}`, '0'],
  [`{% for x in [1, 2, 3] %}{{ loop.cycle('odd ', 'even ') }}{% endfor %}`, 'odd even odd '],
  [`{{ 'two words, café' | wordcount }}{{ '' | wordcount }}`, '30'],
  [`{{ '%s is %03d or %.2f, 100%%' | format('x', 7, 1.5) }}`, 'x is 007 or 1.50, 100%'],
  [`{{ '%5s|%-5s|%.2s' | format('ab', 'ab', 'abc') }}`, '   ab|ab   |ab'],
  [`{{ '{} and {}, {{}}'.format('a', 2) }}{{ '{1}{0}'.format('a', 'b') }}`, 'a and 2, {}ba'],
];

describe('a template', () => {
  it.each(IN_PYTHON)('%s writes what it writes in Python', (source, text) => {
    expect(render(source)).toBe(text);
  });

  it.each([`'%s %s' | format('a')`, `'{}{}'.format('a')`, `'{:>5}'.format('a')`])(
    'refuses %s, as it cannot write it',
    (expression) => {
      expect(() => render(`{{ ${expression} }}`)).toThrow('format');
    },
  );

  it.each([
    ["rows | selectattr('x', 'undefined') | map(attribute='n') | join", '2'],
    ["rows | rejectattr('x', 'undefined') | map(attribute='n') | join", '13'],
    ["rows | selectattr('x', 'defined') | map(attribute='n') | join", '13'],
  ])('chooses by %s as in Python', (filter, text) => {
    const rows = [{ n: 1, x: 'a' }, { n: 2 }, { n: 3, x: null }];
    expect(render(`{{ ${filter} }}`, { rows })).toBe(text);
  });
});
