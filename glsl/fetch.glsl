// Element and texel access. WIDTH_SHIFT is log2 of the texture width; FLOAT_BITS says that float32 is stored as bits.
ivec2 texelPosition(int t) {
  return ivec2(t & ((1 << WIDTH_SHIFT) - 1), t >> WIDTH_SHIFT);
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

vec4 floatTexel(FLOAT_SAMPLER s, int t) {
  return toFloats(texelFetch(s, texelPosition(t), 0));
}

// Texel t of a layer of a grid of this width (src/device/webgl/pass.ts).
vec4 gridTexel(FLOAT_LAYERS s, int t, int layer, int width) {
  int y = t / width;
  vec2 at = (vec2(t - y * width, y) + 0.5) / vec2(textureSize(s, 0).xy);
  return toFloats(texture(s, vec3(at, layer)));
}

ivec4 intTexel(isampler2D s, int t) {
  return texelFetch(s, texelPosition(t), 0);
}

ivec4 intTexel(usampler2D s, int t) {
  return ivec4(texelFetch(s, texelPosition(t), 0));
}

float floatAt(FLOAT_SAMPLER s, int e) {
  return floatTexel(s, e >> 2)[e & 3];
}

int intAt(isampler2D s, int e) {
  return intTexel(s, e >> 2)[e & 3];
}

int intAt(usampler2D s, int e) {
  return intTexel(s, e >> 2)[e & 3];
}

vec4 floatsAt(FLOAT_SAMPLER s, ivec4 e) {
  return vec4(floatAt(s, e.x), floatAt(s, e.y), floatAt(s, e.z), floatAt(s, e.w));
}

ivec4 intsAt(isampler2D s, ivec4 e) {
  return ivec4(intAt(s, e.x), intAt(s, e.y), intAt(s, e.z), intAt(s, e.w));
}

ivec4 intsAt(usampler2D s, ivec4 e) {
  return ivec4(intAt(s, e.x), intAt(s, e.y), intAt(s, e.z), intAt(s, e.w));
}
