import { describe, expect, it } from 'vitest';
import { chatCommand, nameModel } from '../../src/cli/start.ts';

describe('the line that says Attune is ready', () => {
  it('names a small model a demonstration', () => {
    expect(nameModel('companion', 8_134_720)).toBe('companion, the 8M demonstration model');
  });

  it('names a model of half a billion weights only', () => {
    expect(nameModel('Qwen2.5-0.5B-Instruct', 494_032_768)).toBe('Qwen2.5-0.5B-Instruct');
  });

  it('names the address in the command for the terminal where it is not the usual one', () => {
    expect(chatCommand('http://127.0.0.1:4747')).toBe('npx attune chat');
    expect(chatCommand('http://127.0.0.1:4871')).toContain('--url http://127.0.0.1:4871');
  });

  it('does not guess at a model that was not counted yet', () => {
    expect(nameModel(null, null)).toBe('a model');
  });
});
