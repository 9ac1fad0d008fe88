// x as the number that it is rounded to: a product that goes through here is not contracted into a fused multiply-add with what
// follows. `mask` is -1, of which the compiler must not know.
vec4 materialized(vec4 x, int mask) {
  return intBitsToFloat(floatBitsToInt(x) & mask);
}
