// Half-precision numbers widened to f32, exactly; it knows bits, not files.

/** bfloat16 is the upper half of an f32. */
export function widenBfloat16(stored: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(stored.length);
  for (let i = 0; i < stored.length; i++) bits[i] = (stored[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

/** IEEE 754 binary16 to f32, subnormals, infinities and NaN included. */
export function widenFloat16(stored: Uint16Array): Float32Array<ArrayBuffer> {
  const table = float16Table();
  const bits = new Uint32Array(stored.length);
  for (let i = 0; i < stored.length; i++) bits[i] = table[stored[i] as number] as number;
  return new Float32Array(bits.buffer);
}

let float16Bits: Uint32Array | undefined;

/** The f32 bits of all 65,536 half-precision numbers; made at the first use. */
function float16Table(): Uint32Array {
  if (float16Bits !== undefined) return float16Bits;
  const values = new Float32Array(2 ** 16);
  const bits = new Uint32Array(values.buffer);
  for (let half = 0; half < 2 ** 16; half++) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    // Source: IEEE 754-2019, 3.4: bias 15, 10 fraction bits.
    if (exponent === 31) bits[half] = ((half & 0x8000) << 16) | 0x7f800000 | (fraction << 13);
    else if (exponent === 0) values[half] = sign * fraction * 2 ** -24;
    else values[half] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  float16Bits = bits;
  return bits;
}
