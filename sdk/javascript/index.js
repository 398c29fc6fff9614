// What a plugin imports. Types and explanations are in index.d.ts.

export { drop, fail, pass, replace, retry, split } from "./answer.js";
export { ExactNumber } from "./json.js";
export { log } from "./log.js";
export { path, values } from "./path.js";
export { e164 } from "./phone.js";
