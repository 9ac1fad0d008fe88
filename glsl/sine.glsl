// sin and cos. The argument is reduced exactly, in integers, with 96 bits of 2/π (Payne and Hanek 1983), so that large angles are accurate
// without float64; then the polynomials of Cephes on [-π/4, π/4].
const uint twoOverPi[9] = uint[9](
  0u, 0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu
);

uint windowWord(int at, int shift) {
  return shift == 0 ? twoOverPi[at] : (twoOverPi[at] << shift) | (twoOverPi[at + 1] >> (32 - shift));
}

// sin(x) for quarter 0, cos(x) for quarter 1.
float sineOf(float x, uint quarter) {
  uint bits = floatBitsToUint(x);
  uint magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return uintBitsToFloat(0x7fc00000u);
  float r = abs(x);
  uint n = 0u;
  // Above π/4.
  if (magnitude > 0x3f490fdau) {
    int exponent = int(magnitude >> 23) - 127;
    uint mantissa = (magnitude << 8) | 0x80000000u;
    int first = exponent + 31;
    int at = first >> 5;
    int shift = first & 31;
    uint a0 = windowWord(at, shift);
    uint a1 = windowWord(at + 1, shift);
    uint a2 = windowWord(at + 2, shift);
    uint low = mantissa * a1;
    uint sum = low + multiplyHigh(mantissa, a2);
    uint high = mantissa * a0 + multiplyHigh(mantissa, a1) + (sum < low ? 1u : 0u);
    n = high >> 30;
    uint fraction = (high << 2) | (sum >> 30);
    uint rest = sum << 2;
    float sign = 1.0;
    if (fraction >= 0x80000000u) {
      n++;
      fraction = ~fraction;
      rest = ~rest;
      sign = -1.0;
    }
    r = sign * 1.5707963267948966 * (float(fraction) * exp2(-32.0) + float(rest) * exp2(-64.0));
  }
  if (quarter == 0u && n == 0u && magnitude < 0x39800000u) return x;
  n += quarter;
  float z = r * r;
  float y = (n & 1u) == 0u
    ? ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r
    : ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z + (1.0 - 0.5 * z);
  bool negative = (n & 2u) != 0u;
  if (quarter == 0u && bits >= 0x80000000u) negative = !negative;
  return negative ? -y : y;
}

vec4 sine(vec4 x) {
  return vec4(sineOf(x.x, 0u), sineOf(x.y, 0u), sineOf(x.z, 0u), sineOf(x.w, 0u));
}

vec4 cosine(vec4 x) {
  return vec4(sineOf(x.x, 1u), sineOf(x.y, 1u), sineOf(x.z, 1u), sineOf(x.w, 1u));
}
