// How products fetch texel `at + step` of A and of B, where `line` is texelPosition(at). STRAIGHT_A and STRAIGHT_B say that
// the two never lie on different lines of the texture, which saves the arithmetic of a position.
#ifdef STRAIGHT_A
#define texelA(s, line, at, step) toFloats(texelFetch(s, ivec2((line).x + (step), (line).y), 0))
#else
#define texelA(s, line, at, step) floatTexel(s, (at) + (step))
#endif
#ifdef STRAIGHT_B
#define texelB(s, line, at, step) toFloats(texelFetch(s, ivec2((line).x + (step), (line).y), 0))
#else
#define texelB(s, line, at, step) floatTexel(s, (at) + (step))
#endif
