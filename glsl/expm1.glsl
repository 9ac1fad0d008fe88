// e^x - 1: with x = n·ln 2 + r as in exp.glsl, (e^r - 1) + (1 - 2^-n), times 2^n, so that nothing cancels near 0. Below -18 the
// result rounds to -1; beyond n = 30 the bound does not change 1 - 2^-n.
vec4 exponentialMinus1(vec4 x) {
  vec4 bounded = clamp(x, vec4(-18.0), vec4(89.0));
  vec4 n = floor(bounded * 1.44269504 + 0.5);
  vec4 r = (bounded - n * 0.693359375) - n * -2.12194440e-4;
  vec4 p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
    + 1.6666665459e-1) * r + 0.5;
  ivec4 power = ivec4(n);
  ivec4 half1 = power >> 1;
  vec4 rest = 1.0 - intBitsToFloat((127 - min(power, ivec4(30))) << 23);
  vec4 y = (p * (r * r) + r + rest) * intBitsToFloat((half1 + 127) << 23) * intBitsToFloat((power - half1 + 127) << 23);
  // x where x²/2 is below half a unit in the last place: keeps -0 and subnormal numbers.
  y = select(lessThan(abs(x), vec4(5.9604645e-8)), x, y);
  return select(isNotNumber(x), x, y);
}
