/** Where install.mjs puts the peers. */
import path from "node:path";

export const peersFolder = path.resolve("build/peers");
/** With node_modules inside. */
export const npmFolder = path.join(peersFolder, "npm/");
