// Returns x, but prevents the compiler from contracting a product into a fused multiply-add with the next operation. `mask` is -1, as a
// uniform, so that the compiler does not know it.
vec4 materialized(vec4 x, int mask) {
  return intBitsToFloat(floatBitsToInt(x) & mask);
}
