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
 * x^y as in C and IEEE 754: 2^(y · log2|x|) in float64, with an error of about 1e-13, so that the float32 result is correctly rounded or
 * nearly so.
 */
function powerOf(x: f32, y: f32): f32 {
  if (x == 1 || y == 0) return 1;
  const size = <f64>abs<f32>(x);
  const isWhole = floor<f32>(y) == y;
  if (x < 0 && !isWhole && size != Infinity) return NaN;
  // 0 where |x| is 1 and y infinite.
  const power = exp2(size == 1 ? 0 : <f64>y * log2(size));
  // From 2^24 on all floats are even.
  const isOdd = isWhole && abs<f32>(y) < 16777216 && (<i32>y & 1) != 0;
  return <f32>(isOdd ? copysign<f64>(power, <f64>x) : power);
}

/** log2 of a float32 that is not negative. ln m = 2 artanh((m − 1) / (m + 1)) for m in [1/√2, √2), as a series. */
function log2(x: f64): f64 {
  if (x == 0) return -Infinity;
  if (!(x < Infinity)) return x;
  // The exponent of x / √½, rounded down, is that of m · 2^exponent.
  const bits = reinterpret<i64>(x);
  const exponent = (bits - 0x3fe6a09e667f3bcd) >> 52;
  const m = reinterpret<f64>(bits - (exponent << 52));
  const f = (m - 1) / (m + 1);
  const square = f * f;
  // |f| is 0.172 at most: the first term left out is below 1e-14.
  let sum: f64 = 1 / 15.0;
  sum = sum * square + 1 / 13.0;
  sum = sum * square + 1 / 11.0;
  sum = sum * square + 1 / 9.0;
  sum = sum * square + 1 / 7.0;
  sum = sum * square + 1 / 5.0;
  sum = sum * square + 1 / 3.0;
  sum = sum * square + 1;
  return <f64>exponent + sum * f * (2 / 0.6931471805599453);
}

/** 2^x; beyond ±200 the float32 result is 0 or infinite. The series of e^z for |z| up to ln 2 / 2. */
function exp2(t: f64): f64 {
  const limited = min<f64>(max<f64>(t, -200), 200);
  const whole = nearest<f64>(limited);
  const z = (limited - whole) * 0.6931471805599453;
  // The first term left out is below 1e-14.
  let sum = z * (1 / 11.0) + 1;
  sum = sum * z * (1 / 10.0) + 1;
  sum = sum * z * (1 / 9.0) + 1;
  sum = sum * z * (1 / 8.0) + 1;
  sum = sum * z * (1 / 7.0) + 1;
  sum = sum * z * (1 / 6.0) + 1;
  sum = sum * z * (1 / 5.0) + 1;
  sum = sum * z * (1 / 4.0) + 1;
  sum = sum * z * (1 / 3.0) + 1;
  sum = sum * z * 0.5 + 1;
  sum = sum * z + 1;
  return sum * reinterpret<f64>((<i64>whole + 1023) << 52);
}

/** int32 power by squaring; a negative exponent truncates 1 / x^|y|. */
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

/** C's fmod, exact: multiples of |y| by powers of two are subtracted from |x|, the largest first, without rounding in float64. */
function remainder(x: f32, y: f32): f32 {
  const size = <f64>abs<f32>(y);
  let rest = <f64>abs<f32>(x);
  if (!(rest < Infinity) || !(size > 0)) return NaN;
  while (rest >= size) {
    const exponents = (reinterpret<i64>(rest) >> 52) - (reinterpret<i64>(size) >> 52);
    const multiple = reinterpret<f64>(reinterpret<i64>(size) + (exponents << 52));
    rest -= multiple > rest ? 0.5 * multiple : multiple;
  }
  return copysign<f32>(<f32>rest, x);
}

/** The remainder with the divisor's sign. */
export function mod(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const end = d + (<usize>lanes << 2);
  while (d < end) {
    const x = load<f32>(a);
    const y = load<f32>(b);
    let r = remainder(x, y);
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
