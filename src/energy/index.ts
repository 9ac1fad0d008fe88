/** `wattgrad/energy`: energy of computations, measured by a meter where there is one, else modelled and labelled so. */
import "../ops/methods.js";

export {
  type Carbon,
  type CarbonIntensity,
  carbon,
  type Efficiency,
  efficiency,
  type Work,
} from "./efficiency.js";
export { describeEnergy, type EnergyFigure, type EnergyKind, formatJoules } from "./figure.js";
export { type Measured, type MeasureOptions, measure } from "./measure.js";
export { EnergyMeter, EnergyWindow, type MeterOptions, openMeter } from "./meter.js";
export { horowitz2014, type OperationEnergy, operationEnergy } from "./operations.js";
export { EnergyError, type RejectedSource } from "./source.js";
