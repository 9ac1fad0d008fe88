// The signed bytes of a word, the lowest first: by masks, because SwiftShader shifts vectors element by element.
ivec4 bytesOf(int word) {
  ivec4 masked = ivec4(word ^ 0x808080) & ivec4(0xff, 0xff00, 0xff0000, -0x1000000);
  vec4 ofByte = vec4(1.0, 256.0, 65536.0, 16777216.0);
  return ivec4(vec4(masked) / ofByte - vec4(128.0, 128.0, 128.0, 0.0));
}

// Byte `place` of each of four words.
ivec4 byteOf(ivec4 words, ivec4 place) {
  return (words << ((3 - place) << 3)) >> 24;
}
