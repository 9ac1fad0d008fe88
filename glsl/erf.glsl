// The error function as a rational function on [-4, 4] (Eigen), ±1 outside.
vec4 errorFunction(vec4 input4) {
  vec4 x = clamp(input4, vec4(-4.0), vec4(4.0));
  vec4 z = x * x;
  vec4 p = -2.72614225801306e-10 * z + 2.77068142495902e-8;
  p = p * z - 2.10102402082508e-6;
  p = p * z - 5.69250639462346e-5;
  p = p * z - 7.34990630326855e-4;
  p = p * z - 2.95459980854025e-3;
  p = p * z - 1.60960333262415e-2;
  vec4 q = -1.45660718464996e-5 * z - 2.13374055278905e-4;
  q = q * z - 1.68282697438203e-3;
  q = q * z - 7.37332916720468e-3;
  q = q * z - 1.42647390514189e-2;
  vec4 y = select(greaterThan(abs(input4), vec4(4.0)), copySign(vec4(1.0), input4), x * p / q);
  return select(isNotNumber(input4), input4, y);
}
