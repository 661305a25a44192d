// Compiles channel.tolk into channel.boc and prints the code's representation hash and depth, the two numbers that
// protocol/src/channel/terms.rs holds as constants. With --check nothing is written: the exit status says whether the
// committed code is what the source compiles to.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runTolkCompiler } from "@ton/tolk-js";

const here = dirname(fileURLToPath(import.meta.url));
const result = await runTolkCompiler({
  entrypointFileName: "channel.tolk",
  fsReadCallback: (path) => readFileSync(join(here, path), "utf8"),
  optimizationLevel: 2,
});
if (result.status !== "ok") {
  console.error(result.message);
  process.exit(1);
}
const code = Buffer.from(result.codeBoc64, "base64");
console.log(`code hash ${result.codeHashHex.toLowerCase()}, ${code.length} bytes`);
const committed = join(here, "channel.boc");
if (process.argv.includes("--check")) {
  if (!readFileSync(committed).equals(code)) {
    console.error("channel.boc is not what channel.tolk compiles to: run `npm ci && npm run build` here, then update the constants in protocol/src/channel/terms.rs");
    process.exit(1);
  }
  console.log("channel.boc matches channel.tolk");
} else {
  writeFileSync(committed, code);
}
