// How quantized products read texels: four int8 weights of one row, stored STORED_OFFSET above what they are, or the bytes of
// eight of 4 bits; and four elements of a row of the input, int8 or float32. Exact in float32, and quicker there than in
// integers. As in product_texels.glsl, positions are coordinates of samplers.
#define middleOf(t, size) ((vec2(texelPosition(t)) + 0.5) * (size))
#define weightTexel(s, at, j, size) (vec4(texture(s, vec2((at).x + float(j) * (size).x, (at).y))) - STORED_OFFSET)
#define byteTexel(s, at, j, size) texture(s, vec2((at).x + float(j) * (size).x, (at).y))
#ifdef FLOAT_INPUT
#define numbersOf(x) toFloats(x)
#else
#define numbersOf(x) vec4(x)
#endif
// STRAIGHT_INPUT: no row crosses lines of the texture.
#ifdef STRAIGHT_INPUT
#define lineOf(row, size) middleOf(row, size)
#define inputTexel(s, line, row, k, size) numbersOf(texture(s, vec2((line).x + float(k) * (size).x, (line).y)))
#else
#define lineOf(row, size) vec2(0.0)
#define inputTexel(s, line, row, k, size) numbersOf(texture(s, middleOf((row) + (k), size)))
#endif
