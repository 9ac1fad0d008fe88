// e^x (Cephes): x = n·ln 2 + r, a polynomial of r, and 2^n as two factors, so that results near overflow and underflow are correct.
vec4 exponential(vec4 x) {
  vec4 bounded = clamp(x, vec4(-104.0), vec4(89.0));
  vec4 n = floor(bounded * 1.44269504 + 0.5);
  vec4 r = (bounded - n * 0.693359375) - n * -2.12194440e-4;
  vec4 p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
    + 1.6666665459e-1) * r + 0.5;
  p = p * (r * r) + r + 1.0;
  ivec4 power = ivec4(n);
  ivec4 half1 = power >> 1;
  vec4 y = p * intBitsToFloat((half1 + 127) << 23) * intBitsToFloat((power - half1 + 127) << 23);
  y = select(lessThan(x, vec4(-104.0)), vec4(0.0), y);
  return select(isNotNumber(x), x, y);
}
