// Texel reads of quantized products. A texel of the weights has four words, one per row, of four bytes along k: a quarter of the fetches of
// single bytes. Bytes are extracted by masks without shifts, because SwiftShader shifts vectors element by element; the values are too large
// by 2^8, 2^16 or 2^24, for which the input is scaled. All this is exact, and so are sums of integers below 2^24. As in
// product_texels.glsl, positions are sampler coordinates; `size` is that of a texel.
#define middleOf(shift, t, size) ((vec2(texelPosition(shift, t)) + 0.5) * (size))
#define wordsAt(s, at, j, size) texture(s, vec2((at).x + float(j) * (size).x, (at).y))
#ifdef FLOAT_INPUT
#define numbersOf(x) toFloats(x)
#else
#define numbersOf(x) vec4(x)
#endif
// STRAIGHT_INPUT: no row crosses rows of the texture; `line` is the coordinate of the row's start.
#ifdef STRAIGHT_INPUT
#define lineOf(shift, row, size) middleOf(shift, row, size)
#define inputTexel(s, shift, line, row, k, size) numbersOf(texture(s, vec2((line).x + float(k) * (size).x, (line).y)))
#else
#define lineOf(shift, row, size) vec2(0.0)
#define inputTexel(s, shift, line, row, k, size) numbersOf(texture(s, middleOf(shift, (row) + (k), size)))
#endif

const vec4 ofBytes = vec4(1.0, 256.0, 65536.0, 16777216.0);
const vec4 perByte = vec4(1.0, 1.0 / 256.0, 1.0 / 65536.0, 1.0 / 16777216.0);

// Column i is byte i of the words times ofBytes[i]: times four elements of the input times perByte it is their products. Bytes are
// weights plus STORED_OFFSET.
mat4 weightsOf(ivec4 words) {
#if STORED_OFFSET == 0
  // All but the highest byte, with an offset of 128.
  words ^= 0x808080;
  const float low = 128.0, high = 0.0;
#else
  const float low = float(STORED_OFFSET), high = low;
#endif
  return mat4(
    vec4(words & 0xff) - low * ofBytes.x,
    vec4(words & 0xff00) - low * ofBytes.y,
    vec4(words & 0xff0000) - low * ofBytes.z,
    vec4(words & -0x1000000) - high * ofBytes.w
  );
}

// The same for the lower and, 16 times as large, for the upper halves of the bytes, which are numbers 0..15.
const float middle = float(STORED_OFFSET);

mat4 lowOf(ivec4 words) {
  return mat4(
    vec4(words & 0xf) - middle * ofBytes.x,
    vec4(words & 0xf00) - middle * ofBytes.y,
    vec4(words & 0xf0000) - middle * ofBytes.z,
    vec4(words & 0xf000000) - middle * ofBytes.w
  );
}

mat4 highOf(ivec4 words) {
  return mat4(
    vec4(words & 0xf0) - 16.0 * middle * ofBytes.x,
    vec4(words & 0xf000) - 16.0 * middle * ofBytes.y,
    vec4(words & 0xf00000) - 16.0 * middle * ofBytes.z,
    // A change of the sign takes 8 off.
    vec4((words & -0x10000000) ^ int(0x80000000u)) + 16.0 * (8.0 - middle) * ofBytes.w
  );
}
