// Element and texel access. FLOAT_BITS says that float32 is stored as bits. `shift`, a constant, is log2 of the width of the
// texture (src/device/webgl/storage.ts).
ivec2 texelPosition(int shift, int t) {
  return ivec2(t & ((1 << shift) - 1), t >> shift);
}

// a / b for a >= 0 and b > 0. No processor divides vectors of integers, and drivers do it lane by lane; the quotient of floats
// is wrong by little, the quotient of what remains is not.
int quotient(int a, int b) {
  float inverse = 1.0 / float(b);
  int q = int(float(a) * inverse);
  q += int(floor(float(a - q * b) * inverse));
  int rest = a - q * b;
  return q + int(rest >= b) - int(rest < 0);
}

ivec4 quotient(ivec4 a, int b) {
  float inverse = 1.0 / float(b);
  ivec4 q = ivec4(vec4(a) * inverse);
  q += ivec4(floor(vec4(a - q * b) * inverse));
  ivec4 rest = a - q * b;
  return q + ivec4(greaterThanEqual(rest, ivec4(b))) - ivec4(lessThan(rest, ivec4(0)));
}

#ifdef FLOAT_BITS
#define FLOAT_SAMPLER usampler2D
#define FLOAT_LAYERS usampler2DArray
#define FLOAT_OUTPUT uvec4
#define toFloats(x) uintBitsToFloat(x)
#define fromFloats(x) floatBitsToUint(x)
#else
#define FLOAT_SAMPLER sampler2D
#define FLOAT_LAYERS sampler2DArray
#define FLOAT_OUTPUT vec4
#define toFloats(x) (x)
#define fromFloats(x) (x)
#endif

vec4 floatTexel(FLOAT_SAMPLER s, int shift, int t) {
  return toFloats(texelFetch(s, texelPosition(shift, t), 0));
}

// The texel at the position that is computed, without index arithmetic.
#define floatHere(s) toFloats(texelFetch(s, ivec2(gl_FragCoord.xy), 0))
#define intHere(s) ivec4(texelFetch(s, ivec2(gl_FragCoord.xy), 0))

// Texel t of a render target of this width, or of one layer (src/device/webgl/pass.ts).
vec4 targetTexel(FLOAT_SAMPLER s, int t, int width) {
  int y = quotient(t, width);
  return toFloats(texelFetch(s, ivec2(t - y * width, y), 0));
}

vec4 targetTexel(FLOAT_LAYERS s, int t, int layer, int width) {
  int y = quotient(t, width);
  return toFloats(texelFetch(s, ivec3(t - y * width, y, layer), 0));
}

ivec4 intTexel(isampler2D s, int shift, int t) {
  return texelFetch(s, texelPosition(shift, t), 0);
}

ivec4 intTexel(usampler2D s, int shift, int t) {
  return ivec4(texelFetch(s, texelPosition(shift, t), 0));
}

float floatAt(FLOAT_SAMPLER s, int shift, int e) {
  return floatTexel(s, shift, e >> 2)[e & 3];
}

int intAt(isampler2D s, int shift, int e) {
  return intTexel(s, shift, e >> 2)[e & 3];
}

int intAt(usampler2D s, int shift, int e) {
  return intTexel(s, shift, e >> 2)[e & 3];
}

vec4 floatsAt(FLOAT_SAMPLER s, int shift, ivec4 e) {
  return vec4(floatAt(s, shift, e.x), floatAt(s, shift, e.y), floatAt(s, shift, e.z), floatAt(s, shift, e.w));
}

ivec4 intsAt(isampler2D s, int shift, ivec4 e) {
  return ivec4(intAt(s, shift, e.x), intAt(s, shift, e.y), intAt(s, shift, e.z), intAt(s, shift, e.w));
}

ivec4 intsAt(usampler2D s, int shift, ivec4 e) {
  return ivec4(intAt(s, shift, e.x), intAt(s, shift, e.y), intAt(s, shift, e.z), intAt(s, shift, e.w));
}
