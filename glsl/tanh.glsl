// tanh as a rational function (Eigen); the built-in one overflows to NaN on some drivers.
vec4 hyperbolicTangent(vec4 input4) {
  vec4 x = clamp(input4, vec4(-7.90531110763549805), vec4(7.90531110763549805));
  vec4 z = x * x;
  vec4 p = -2.76076847742355e-16 * z + 2.00018790482477e-13;
  p = p * z - 8.60467152213735e-11;
  p = p * z + 5.12229709037114e-8;
  p = p * z + 1.48572235717979e-5;
  p = p * z + 6.37261928875436e-4;
  p = p * z + 4.89352455891786e-3;
  vec4 q = 1.19825839466702e-6 * z + 1.18534705686654e-4;
  q = q * z + 2.26843463243900e-3;
  q = q * z + 4.89352518554385e-3;
  vec4 y = select(greaterThan(abs(input4), vec4(8.3)), copySign(vec4(1.0), input4), x * p / q);
  return select(isNotNumber(input4), input4, y);
}
