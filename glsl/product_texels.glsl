// Texel reads of the operands A and B of products. `line` is lineA(at), the centre of texel `at` in sampler coordinates; `along` is the
// distance from there within its texture row: a number of texels times scaleA.x. scaleA is texelSize(a), shiftA is log2 of the width of a,
// and maskA the width minus 1. Sampling is faster than texelFetch, twice as fast on software rasterizers; widths are powers of two, so that
// coordinates in a row are exact. STRAIGHT_A and STRAIGHT_B: reads never leave the texture row of `at`. SAMPLER_A and toFloatsA are for
// operands that are not stored as floats: 16-bit floats.
#ifndef SAMPLER_A
#define SAMPLER_A FLOAT_SAMPLER
#define toFloatsA(x) toFloats(x)
#endif
#ifndef SAMPLER_B
#define SAMPLER_B FLOAT_SAMPLER
#define toFloatsB(x) toFloats(x)
#endif

#define texelSize(s) (1.0 / vec2(textureSize(s, 0)))

vec2 middle(int t, int shift, int mask, vec2 scale) {
  return (vec2(t & mask, t >> shift) + 0.5) * scale;
}

// Wraps x beyond a texture row to the following rows.
vec2 folded(vec2 line, float along, float lineHeight) {
  float x = line.x + along;
  float lines = floor(x);
  return vec2(x - lines, line.y + lines * lineHeight);
}

#define lineA(at) middle(at, shiftA, maskA, scaleA)
#define lineB(at) middle(at, shiftB, maskB, scaleB)
#ifdef STRAIGHT_A
#define texelA(s, line, along) toFloatsA(texture(s, vec2((line).x + (along), (line).y)))
#else
#define texelA(s, line, along) toFloatsA(texture(s, folded(line, along, scaleA.y)))
#endif
#ifdef STRAIGHT_B
#define texelB(s, line, along) toFloatsB(texture(s, vec2((line).x + (along), (line).y)))
#else
#define texelB(s, line, along) toFloatsB(texture(s, folded(line, along, scaleB.y)))
#endif
