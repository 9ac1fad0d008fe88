// The remainder with the divisor's sign, exact: long division in binary, one conditional subtraction per quotient bit.
float moduloOf(float x, float y) {
  uint ux = floatBitsToUint(x) & 0x7fffffffu;
  uint uy = floatBitsToUint(y) & 0x7fffffffu;
  if (uy == 0u || ux >= 0x7f800000u || uy > 0x7f800000u) return uintBitsToFloat(0x7fc00000u);
  float rest = abs(x);
  float divisor = abs(y);
  if (uy < 0x7f800000u && rest >= divisor) {
    int steps = int(ux >> 23) - int(uy >> 23);
    uint a = (ux & 0x7fffffu) | 0x800000u;
    uint b = (uy & 0x7fffffu) | 0x800000u;
    for (int i = steps; i >= 0; i--) {
      if (a >= b) a -= b;
      if (i > 0) a <<= 1;
    }
    // The unit of the last place of the divisor; a quotient of floats may be off by one place.
    uint exponent = uy >> 23;
    rest = float(a) * (exponent > 23u ? uintBitsToFloat((exponent - 23u) << 23) : divisor / float(b));
  }
  if (floatBitsToUint(x) >= 0x80000000u) rest = -rest;
  if (rest != 0.0 && (rest < 0.0) != (y < 0.0)) rest += y;
  return rest;
}

vec4 modulo(vec4 x, vec4 y) {
  return vec4(moduloOf(x.x, y.x), moduloOf(x.y, y.y), moduloOf(x.z, y.z), moduloOf(x.w, y.w));
}
