/** Shader text from glsl/, which the bundler puts into the module as a string. */
declare module "*.glsl" {
  const text: string;
  export default text;
}
