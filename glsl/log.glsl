// Natural logarithm (Cephes), denormals included where the device has them; log 0 = -Infinity, of negative numbers NaN.
vec4 logarithm(vec4 x) {
  bvec4 tiny = lessThan(x, vec4(1.17549435e-38));
  vec4 scaled = select(tiny, x * 8388608.0, x);
  ivec4 bits = floatBitsToInt(scaled);
  ivec4 e = (bits - 0x3f3504f3) >> 23;
  vec4 f = intBitsToFloat(bits - (e << 23)) - 1.0;
  vec4 n = vec4(e - select(tiny, ivec4(23), ivec4(0)));
  vec4 f2 = f * f;
  vec4 p = 7.0376836292e-2 * f - 1.1514610310e-1;
  p = p * f + 1.1676998740e-1;
  p = p * f - 1.2420140846e-1;
  p = p * f + 1.4249322787e-1;
  p = p * f - 1.6668057665e-1;
  p = p * f + 2.0000714765e-1;
  p = p * f - 2.4999993993e-1;
  p = p * f + 3.3333331174e-1;
  p = p * f * f2;
  p = n * -2.12194440e-4 + p;
  p = p - 0.5 * f2;
  vec4 y = n * 0.693359375 + (f + p);
  ivec4 original = floatBitsToInt(x);
  y = select(greaterThanEqual(original & 0x7fffffff, ivec4(0x7f800000)), x, y);
  y = select(lessThan(original, ivec4(0)), notNumber(), y);
  return select(equal(original & 0x7fffffff, ivec4(0)), -infinity(), y);
}
