/**
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), four counters at a time.
 * The element of logical index i is word i % 4 of the block with counter [i / 4, 0, offset, 0].
 */

const scale: f32 = 1.0 / 16777216.0;

// @ts-ignore: decorator
@inline
function mulHigh(x: v128, m: v128): v128 {
  const low = i64x2.extmul_low_i32x4_u(x, m);
  const high = i64x2.extmul_high_i32x4_u(x, m);
  return i32x4.shuffle(low, high, 1, 3, 5, 7);
}

/**
 * Writes `count` numbers in [0, 1) for the elements from `index` on. `seed` points to [seedLo, seedHi, offset]. Writes
 * whole groups of 16, so `out` has room for count + 19 rounded up; the first number is returned as an address.
 */
export function uniform(out: usize, index: i32, count: i32, seed: usize): usize {
  const first = index >>> 2;
  const skip = index & 3;
  const groups = (skip + count + 15) >>> 4;
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  const toUnit = f32x4.splat(scale);
  const seedLow = load<i32>(seed);
  const seedHigh = load<i32>(seed, 4);
  const offset = i32x4.splat(load<i32>(seed, 8));
  let at = out;
  for (let g = 0; g < groups; g++) {
    let c0 = i32x4.add(i32x4.splat(first + (g << 2)), i32x4(0, 1, 2, 3));
    let c1 = i32x4.splat(0);
    let c2 = offset;
    let c3 = i32x4.splat(0);
    let k0 = seedLow;
    let k1 = seedHigh;
    for (let round = 0; round < 10; round++) {
      const high0 = mulHigh(c0, m0);
      const low0 = i32x4.mul(c0, m0);
      const high1 = mulHigh(c2, m1);
      const low1 = i32x4.mul(c2, m1);
      c0 = v128.xor(v128.xor(high1, c1), i32x4.splat(k0));
      c2 = v128.xor(v128.xor(high0, c3), i32x4.splat(k1));
      c1 = low1;
      c3 = low0;
      k0 += 0x9e3779b9;
      k1 += 0xbb67ae85;
    }
    // Transposes the four words of four counters into the order of elements.
    const a = i32x4.shuffle(c0, c1, 0, 4, 1, 5);
    const b = i32x4.shuffle(c2, c3, 0, 4, 1, 5);
    const c = i32x4.shuffle(c0, c1, 2, 6, 3, 7);
    const d = i32x4.shuffle(c2, c3, 2, 6, 3, 7);
    storeUnit(at, i64x2.shuffle(a, b, 0, 2), toUnit);
    storeUnit(at + 16, i64x2.shuffle(a, b, 1, 3), toUnit);
    storeUnit(at + 32, i64x2.shuffle(c, d, 0, 2), toUnit);
    storeUnit(at + 48, i64x2.shuffle(c, d, 1, 3), toUnit);
    at += 64;
  }
  return out + (<usize>skip << 2);
}

// @ts-ignore: decorator
@inline
function storeUnit(at: usize, bits: v128, toUnit: v128): void {
  v128.store(at, f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(bits, 8)), toUnit));
}
