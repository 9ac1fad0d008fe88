/** Loops without a vector form, one lane at a time: powers, remainders, integer division. */

export function pow(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    store<f32>(d, powerOf(load<f32>(a), load<f32>(b)));
    a += 4;
    b += 4;
    d += 4;
  }
}

/**
 * float64 inside, so that the result is right to the last bit or nearly so. Math.pow is ECMAScript's, which gives NaN
 * for 1^NaN and (±1)^±∞ where C and IEEE 754 give 1.
 */
function powerOf(x: f32, y: f32): f32 {
  if (x == 1 || (x == -1 && abs<f32>(y) == Infinity)) return 1;
  return <f32>Math.pow(<f64>x, <f64>y);
}

/** By squaring; negative exponents give what is left of 1 / x^|y| in integers. */
export function powInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    let x = load<i32>(a);
    let y = load<i32>(b);
    let result = 1;
    if (y < 0) {
      result = x == 1 ? 1 : x == -1 ? ((y & 1) != 0 ? -1 : 1) : 0;
    } else {
      while (y != 0) {
        if ((y & 1) != 0) result *= x;
        x *= x;
        y >>= 1;
      }
    }
    store<i32>(d, result);
    a += 4;
    b += 4;
    d += 4;
  }
}

/** The remainder with the divisor's sign; exact, as fmod is. */
export function mod(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    const x = load<f32>(a);
    const y = load<f32>(b);
    let r = <f32>(<f64>x % <f64>y);
    if (r != 0 && r < 0 != y < 0) r += y;
    store<f32>(d, r);
    a += 4;
    b += 4;
    d += 4;
  }
}

export function modInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    const x = load<i32>(a);
    const y = load<i32>(b);
    let r = y == 0 || y == -1 ? 0 : x % y;
    if (r != 0 && r < 0 != y < 0) r += y;
    store<i32>(d, r);
    a += 4;
    b += 4;
    d += 4;
  }
}

/** Truncating; 0 for a zero divisor. -2^31 / -1 wraps, as the other operations do. */
export function divInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    const x = load<i32>(a);
    const y = load<i32>(b);
    store<i32>(d, y == 0 ? 0 : y == -1 ? 0 - x : x / y);
    a += 4;
    b += 4;
    d += 4;
  }
}
