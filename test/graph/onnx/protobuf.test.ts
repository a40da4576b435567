// The wire format, against bytes worked out by hand from the protobuf encoding specification.
import { describe, expect, it } from 'vitest';
import {
  bytesField,
  floatField,
  integerField,
  join,
  messageField,
  stringField,
} from '../../../src/graph/onnx/protobuf.ts';

const bytes = (fields: readonly Uint8Array[]): number[] => [...join(fields)];

describe('protobuf fields', () => {
  it('write integers in groups of seven bits, low ones first', () => {
    expect(bytes(integerField(1, 0))).toEqual([0x08, 0]);
    expect(bytes(integerField(1, 150))).toEqual([0x08, 0x96, 0x01]);
    expect(bytes(integerField(16, 127))).toEqual([0x80, 0x01, 0x7f]);
    expect(bytes(integerField(1, 2 ** 40))).toEqual([0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
  });

  it('write negative integers as ten bytes of two’s complement', () => {
    expect(bytes(integerField(1, -1))).toEqual([0x08, ...new Array(9).fill(0xff), 0x01]);
  });

  it('write floats as four little-endian bytes', () => {
    expect(bytes(floatField(2, 1))).toEqual([0x15, 0, 0, 0x80, 0x3f]);
  });

  it('write strings as UTF-8 after their length in bytes', () => {
    expect(bytes(stringField(2, 'test'))).toEqual([0x12, 4, 0x74, 0x65, 0x73, 0x74]);
    expect(bytes(stringField(2, 'é'))).toEqual([0x12, 2, 0xc3, 0xa9]);
  });

  it('write messages as the bytes of their fields', () => {
    const inner = integerField(1, 150);
    expect(bytes(messageField(3, inner))).toEqual([0x1a, 3, 0x08, 0x96, 0x01]);
    expect(bytes(messageField(3, inner))).toEqual(bytes(bytesField(3, join(inner))));
    expect(bytes(messageField(3, []))).toEqual([0x1a, 0]);
  });
});
