// High 32 bits of the product of two words; umulExtended came with ES 3.1.
uint multiplyHigh(uint a, uint b) {
  uint aLow = a & 0xffffu;
  uint aHigh = a >> 16;
  uint bLow = b & 0xffffu;
  uint bHigh = b >> 16;
  uint middle = aHigh * bLow + ((aLow * bLow) >> 16);
  uint carry = (middle & 0xffffu) + aLow * bHigh;
  return aHigh * bHigh + (middle >> 16) + (carry >> 16);
}
