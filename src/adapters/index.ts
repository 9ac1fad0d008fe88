/** `wattgrad/adapters`: fine-tuning by small adapters beside a frozen model, in peft's file layout. */
import "../ops/methods.js";

export { LoraAdapter, type LoraOptions, lora, type Targets } from "./lora.js";
export { type Adaptable, type LoraInit, LoraLinear, type LoraShape } from "./lora_linear.js";
export type { PeftLabels } from "./peft_config.js";
export { type AdapterSources, type AdapterTargets, loadAdapter, saveAdapter } from "./peft_file.js";
