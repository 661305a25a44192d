// Compiles the contracts into their .boc files and prints each code's representation hash, depth and size: the hash and the
// depth are constants in protocol/src/channel/{terms,purse}.rs. With --check nothing is written: the exit status says
// whether the committed code is what the source compiles to.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runTolkCompiler } from "@ton/tolk-js";

const here = dirname(fileURLToPath(import.meta.url));
const checking = process.argv.includes("--check");
let failed = false;
for (const name of ["channel", "purse"]) {
  const result = await runTolkCompiler({
    entrypointFileName: `${name}.tolk`,
    fsReadCallback: (path) => readFileSync(join(here, path), "utf8"),
    optimizationLevel: 2,
  });
  if (result.status !== "ok") {
    console.error(result.message);
    process.exit(1);
  }
  const code = Buffer.from(result.codeBoc64, "base64");
  console.log(`${name}: code hash ${result.codeHashHex.toLowerCase()}, ${code.length} bytes`);
  const committed = join(here, `${name}.boc`);
  if (!checking) {
    writeFileSync(committed, code);
  } else if (readFileSync(committed).equals(code)) {
    console.log(`${name}.boc matches ${name}.tolk`);
  } else {
    failed = true;
    console.error(`${name}.boc is not what ${name}.tolk compiles to: run \`npm ci && npm run build\` here, then update the constants in protocol/src/channel`);
  }
}
process.exit(failed ? 1 : 0);
