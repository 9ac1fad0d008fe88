// The rows of a tile: four, or with EIGHT_ROWS eight.
#ifdef EIGHT_ROWS
#define SUMS \
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3, inout vec4 s4, inout vec4 s5, inout vec4 s6, inout vec4 s7
#else
#define SUMS inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
#endif
