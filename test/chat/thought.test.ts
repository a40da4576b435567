import { describe, expect, it } from 'vitest';
import { createThoughtSplitter } from '../../src/chat/thought.ts';
import { fc } from '../property.ts';

function split(pieces: readonly string[], isOpen = false) {
  const splitter = createThoughtSplitter(isOpen);
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.end()];
  return {
    thought: parts.map(({ thought }) => thought).join(''),
    text: parts.map(({ text }) => text).join(''),
  };
}

describe('a reply', () => {
  it.each([
    ['<think>\nHm.\n</think>\n\nHello', false, { thought: 'Hm.\n', text: 'Hello' }],
    ['\n<think>Hm.</think>Hello', false, { thought: 'Hm.', text: 'Hello' }],
    ['Hm.\n</think>\n\n  Hello', true, { thought: 'Hm.\n', text: 'Hello' }],
    ['<think>\n\n</think>\n\nHello', false, { thought: '', text: 'Hello' }],
    ['Hello <think>', false, { thought: '', text: 'Hello <think>' }],
    ['<thin', false, { thought: '', text: '<thin' }],
    ['<think>Hm. </thi', false, { thought: 'Hm. </thi', text: '' }],
    ['', true, { thought: '', text: '' }],
  ])('%j is parted from the thought that it begins with', (reply, isOpen, parts) => {
    expect(split([reply], isOpen)).toEqual(parts);
    expect(split([...reply], isOpen)).toEqual(parts);
  });

  it('is parted in the same way however it is cut into pieces', () => {
    const words = ['<think>', '</think>', '<', 'think', '\n', ' ', 'Hm.', '</', '>', 'é'];
    const pieces = fc.array(fc.constantFrom(...words), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, fc.boolean(), (list, isOpen) => {
        expect(split(list, isOpen)).toEqual(split([list.join('')], isOpen));
      }),
    );
  });

  it('shows its text as it comes, not at the end', () => {
    const splitter = createThoughtSplitter(false);
    expect(splitter.push('<think>a')).toEqual({ thought: 'a', text: '' });
    expect(splitter.push('b</think>\n')).toEqual({ thought: 'b', text: '' });
    expect(splitter.push('\nc')).toEqual({ thought: '', text: 'c' });
    expect(splitter.push('d')).toEqual({ thought: '', text: 'd' });
  });
});
