/** All block loops by number, in the order of src/device/wasm/encode/loops.ts. */
import * as binary from "./map_binary";
import * as lanewise from "./map_scalar_loops";
import * as transcendental from "./map_transcendental";
import * as unary from "./map_unary";

type Loop = (d: usize, a: usize, b: usize, c: usize, lanes: i32) => void;

// Called through the table so that each loop stays a function of its own, which engines optimise after a few calls.
// biome-ignore format: a table
export const loops: StaticArray<Loop> = [
  unary.neg, unary.abs, unary.sign, unary.sqrt, unary.rsqrt, unary.reciprocal, unary.relu, unary.floor,
  unary.ceil, unary.round, unary.trunc, unary.isnan, unary.not, unary.negInt, unary.absInt, unary.signInt,
  unary.reluInt, unary.floatToInt, unary.intToFloat, unary.intToU8, unary.intToI8, unary.floatToU8,
  unary.floatToI8, unary.floatToBool, unary.intToBool, transcendental.exp, transcendental.log, unary.sin, unary.cos,
  transcendental.tanh, transcendental.sigmoid, transcendental.erf,
  transcendental.log1p, binary.add, binary.sub, binary.mul, binary.div, binary.max, binary.min, binary.eq, binary.ne, binary.lt,
  binary.le, binary.gt, binary.ge, binary.addInt, binary.subInt, binary.mulInt, binary.maxInt, binary.minInt,
  binary.eqInt, binary.neInt, binary.ltInt, binary.leInt, binary.gtInt, binary.geInt, binary.and, binary.or,
  binary.xor, binary.addScalar, binary.subScalar, binary.mulScalar, binary.divScalar, binary.maxScalar,
  binary.minScalar, binary.subFromScalar, binary.divIntoScalar, binary.eqScalar, binary.neScalar,
  binary.ltScalar, binary.leScalar, binary.gtScalar, binary.geScalar, binary.addIntScalar,
  binary.mulIntScalar, binary.where, binary.mulAdd, binary.mulSubFrom, binary.mulAddScalar,
  binary.mulSubFromScalar, binary.fill,
  lanewise.pow, lanewise.powInt, lanewise.mod, lanewise.modInt, lanewise.divInt,
];
