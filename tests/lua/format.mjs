// Formats Lua files in place with StyLua, or says which are not formatted:
// `node format.mjs [--check] FOLDER...`. The style is the one that editors/nvim/stylua.toml names.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Config, IndentType, LuaVersion, OutputVerification, QuoteStyle, formatCode } from "@johnnymorganz/stylua";

const style = readFileSync(new URL("../../editors/nvim/stylua.toml", import.meta.url), "utf8");
const setting = (name) => style.match(new RegExp(`^${name} = "?(\\w+)"?$`, "m"))[1];

// A new one for each file: formatting takes it.
function config() {
  const made = Config.new();
  made.column_width = Number(setting("column_width"));
  made.indent_type = IndentType[setting("indent_type")];
  made.indent_width = Number(setting("indent_width"));
  made.quote_style = QuoteStyle[setting("quote_style")];
  made.syntax = LuaVersion.LuaJIT;
  return made;
}

const folders = process.argv.slice(2).filter((argument) => argument !== "--check");
const check = process.argv.includes("--check");
let wrong = 0;

for (const folder of folders) {
  for (const name of readdirSync(folder, { recursive: true })) {
    if (!name.endsWith(".lua")) continue;
    const path = join(folder, name);
    const before = readFileSync(path, "utf8");
    const after = formatCode(before, config(), undefined, OutputVerification.None);
    if (after === before) continue;
    wrong += 1;
    if (check) console.error(`${path} is not formatted: node tests/lua/format.mjs ${folder}`);
    else writeFileSync(path, after);
  }
}

process.exit(check && wrong > 0 ? 1 : 0);
