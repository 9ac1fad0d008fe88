// How products read texel `at + step` of A and of B. STRAIGHT_A and STRAIGHT_B say that the two never lie on different lines of
// the texture, which saves the arithmetic of a position: `line` is lineA(at), the middle of texel `at` in the coordinates of
// samplers, and scaleA is texelSize(a). Drivers are quicker at sampling than at texelFetch, by half on software rasterisers;
// lines are powers of two long, so that coordinates along them are exact.
vec2 texelSize(FLOAT_SAMPLER s) {
  return 1.0 / vec2(textureSize(s, 0));
}

vec4 sampledTexel(FLOAT_SAMPLER s, int t, vec2 scale) {
  return toFloats(texture(s, (vec2(texelPosition(t)) + 0.5) * scale));
}

#ifdef STRAIGHT_A
#define lineA(at) ((vec2(texelPosition(at)) + 0.5) * scaleA)
#define texelA(s, line, at, step) toFloats(texture(s, vec2((line).x + float(step) * scaleA.x, (line).y)))
#else
#define lineA(at) vec2(0.0)
#define texelA(s, line, at, step) sampledTexel(s, (at) + (step), scaleA)
#endif
#ifdef STRAIGHT_B
#define lineB(at) ((vec2(texelPosition(at)) + 0.5) * scaleB)
#define texelB(s, line, at, step) toFloats(texture(s, vec2((line).x + float(step) * scaleB.x, (line).y)))
#else
#define lineB(at) vec2(0.0)
#define texelB(s, line, at, step) sampledTexel(s, (at) + (step), scaleB)
#endif
