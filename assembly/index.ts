/** What the host sees of the kernels. */
export { execute } from "./execute";
