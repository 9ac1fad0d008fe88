// How quantized products read texels: four bytes of one row of the weights, which are weights stored STORED_OFFSET above what
// they are, or pairs of 4 bits, each 8 above; and four elements of a row of the input, int8 or float32. As in product_texels.glsl, positions are
// coordinates of samplers: `size` is that of a texel.
#define middleOf(t, size) ((vec2(texelPosition(t)) + 0.5) * (size))
#define bytesAt(s, at, j, size) texture(s, vec2((at).x + float(j) * (size).x, (at).y))
#define weightsOf(bytes) ((bytes) - STORED_OFFSET)
#define lowOf(bytes) (((bytes) & 15) - 8)
#define highOf(bytes) (((bytes) ^ -128) >> 4)
#ifdef FLOAT_INPUT
#define numbersOf(x) toFloats(x)
#else
#define numbersOf(x) (x)
#endif
// STRAIGHT_INPUT: no row crosses lines of the texture, and `line` is where one lies.
#ifdef STRAIGHT_INPUT
#define lineOf(row, size) middleOf(row, size)
#define inputTexel(s, line, row, k, size) numbersOf(texture(s, vec2((line).x + float(k) * (size).x, (line).y)))
#else
#define lineOf(row, size) vec2(0.0)
#define inputTexel(s, line, row, k, size) numbersOf(texture(s, middleOf((row) + (k), size)))
#endif

// The dot products of four elements of a row with those of four columns.
ivec4 dots(ivec4 x, ivec4 b0, ivec4 b1, ivec4 b2, ivec4 b3) {
  b0 *= x;
  b1 *= x;
  b2 *= x;
  b3 *= x;
  return ivec4(
    b0.x + b0.y + b0.z + b0.w, b1.x + b1.y + b1.z + b1.w, b2.x + b2.y + b2.z + b2.w, b3.x + b3.y + b3.z + b3.w
  );
}

vec4 dots(vec4 x, ivec4 b0, ivec4 b1, ivec4 b2, ivec4 b3) {
  return x * mat4(vec4(b0), vec4(b1), vec4(b2), vec4(b3));
}
