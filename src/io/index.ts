export { readSafetensors, type Safetensors, type StoredTensor, writeSafetensors } from "./safetensors.ts";
