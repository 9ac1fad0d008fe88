// How products read texels of A and of B. `line` is lineA(at), the middle of texel `at` in the coordinates of samplers, and
// `along` is how far from there to go on its line: a number of texels times scaleA.x. scaleA is texelSize(a), shiftA is log2 of
// the width of a, and maskA that width less one. Drivers are quicker at sampling than at texelFetch, by half on software rasterisers; lines are powers of two
// long, so that coordinates along them are exact. STRAIGHT_A and STRAIGHT_B say that what is read is never on another line of the
// texture than `at`.
// SAMPLER_A and toFloatsA are for operands that are not stored as floats: halves.
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

// Whole lines in x move on to the lines that follow.
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
