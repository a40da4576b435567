// Writes the protobuf wire format: the few field kinds that ONNX needs, no schema, no reading.

/** Encoded fields, to be joined or nested in a message. */
export type Fields = readonly Uint8Array[];

const utf8 = new TextEncoder();

/** Base-128, low groups first; negative numbers as 64-bit two's complement. */
function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

const WIRE_VARINT = 0;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;

const tag = (field: number, wire: number): Uint8Array => varint(field * 8 + wire);

/** An integer field; zero is written too, so that an attribute of 0 stays visible. */
export function integerField(field: number, value: number | bigint): Uint8Array[] {
  return [tag(field, WIRE_VARINT), varint(value)];
}

export function floatField(field: number, value: number): Uint8Array[] {
  return [tag(field, WIRE_FIXED32), new Uint8Array(Float32Array.of(value).buffer)];
}

export function bytesField(field: number, value: Uint8Array): Uint8Array[] {
  return [tag(field, WIRE_BYTES), varint(value.byteLength), value];
}

export function stringField(field: number, value: string): Uint8Array[] {
  return bytesField(field, utf8.encode(value));
}

export function messageField(field: number, content: Fields): Uint8Array[] {
  const length = content.reduce((total, part) => total + part.byteLength, 0);
  return [tag(field, WIRE_BYTES), varint(length), ...content];
}

/** One buffer of all parts in order. */
export function join(parts: Fields): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
