// Half-precision numbers widened to f32, exactly, and f32 rounded to them; bits, not files.

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

/** f32 to IEEE 754 binary16, to the nearest, ties to even; too large a number becomes infinity. */
export function narrowFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const stored = new Uint16Array(values.length);
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  for (let i = 0; i < values.length; i++) {
    const [size, sign] = [(bits[i] as number) & 0x7fffffff, ((bits[i] as number) >>> 16) & 0x8000];
    // Below 2^-14 the step is 2^-24; above, 13 bits go, and a carry moves into the exponent.
    if (size < 0x38800000) stored[i] = sign | roundEven(Math.abs(values[i] as number) * 2 ** 24);
    else if (size > 0x7f800000) stored[i] = sign | 0x7e00;
    else stored[i] = sign | Math.min(0x7c00, roundEven((size - 0x38000000) / 2 ** 13));
  }
  return stored;
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
