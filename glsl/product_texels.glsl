// How products fetch texel `at + step` of A and of B, where `line` is texelPosition(at). STRAIGHT_A and STRAIGHT_B say that
// the two never lie on different lines of the texture, which saves the arithmetic of a position. Drivers are quicker at
// sampling the middle of a texel than at texelFetch (by half on software rasterisers); scaleA and scaleB are texelSize().
vec2 texelSize(FLOAT_SAMPLER s) {
  return 1.0 / vec2(textureSize(s, 0));
}

vec4 sampled(FLOAT_SAMPLER s, vec2 scale, int x, int y) {
  return toFloats(texture(s, (vec2(x, y) + 0.5) * scale));
}

#ifdef STRAIGHT_A
#define texelA(s, line, at, step) sampled(s, scaleA, (line).x + (step), (line).y)
#else
#define texelA(s, line, at, step) floatTexel(s, (at) + (step))
#endif
#ifdef STRAIGHT_B
#define texelB(s, line, at, step) sampled(s, scaleB, (line).x + (step), (line).y)
#else
#define texelB(s, line, at, step) floatTexel(s, (at) + (step))
#endif
