// x^y with the special values of C's pow. Small integer exponents are multiplied out, so that squares are exact.
const float largestProduct = 16.0;

float product(float x, int count) {
  float result = 1.0;
  for (int i = 0; i < 16; i++) {
    if (i >= count) break;
    result *= x;
  }
  return result;
}

vec4 power(vec4 x, vec4 y) {
  vec4 whole = floor(y);
  bvec4 isWhole = equal(whole, y);
  // Floats from 2^24 on are even.
  bvec4 isOdd = both(isWhole, both(lessThan(abs(y), vec4(16777216.0)), notEqual(whole, 2.0 * floor(0.5 * whole))));
  vec4 magnitude = exponential(y * logarithm(abs(x)));
  for (int i = 0; i < 4; i++) {
    if (isWhole[i] && abs(y[i]) <= largestProduct) {
      float p = product(abs(x[i]), int(abs(y[i])));
      magnitude[i] = y[i] < 0.0 ? 1.0 / p : p;
    }
  }
  bvec4 isZero = equal(floatBitsToInt(x) & 0x7fffffff, ivec4(0));
  magnitude = select(isZero, select(lessThan(y, vec4(0.0)), infinity(), vec4(0.0)), magnitude);
  bvec4 isNegative = lessThan(floatBitsToInt(x), ivec4(0));
  vec4 result = select(both(isNegative, isOdd), -magnitude, magnitude);
  bvec4 isFinite = lessThan(floatBitsToInt(x) & 0x7fffffff, ivec4(0x7f800000));
  bvec4 isImaginary = both(both(isNegative, not(isZero)), both(isFinite, not(isWhole)));
  result = select(isImaginary, notNumber(), result);
  // |x|^±∞ depends only on whether |x| is below 1, 1 or above.
  bvec4 isEndless = equal(floatBitsToInt(y) & 0x7fffffff, ivec4(0x7f800000));
  bvec4 grows = equal(greaterThan(abs(x), vec4(1.0)), greaterThan(y, vec4(0.0)));
  vec4 limit = select(equal(abs(x), vec4(1.0)), vec4(1.0), select(grows, infinity(), vec4(0.0)));
  result = select(isEndless, limit, result);
  result = select(either(isNotNumber(x), isNotNumber(y)), x + y, result);
  bvec4 isOne = either(equal(x, vec4(1.0)), equal(floatBitsToInt(y) & 0x7fffffff, ivec4(0)));
  return select(isOne, vec4(1.0), result);
}
