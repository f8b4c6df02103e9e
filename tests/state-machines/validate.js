// Checks state machine definitions with two validators that others wrote: asl-validator, and the
// language service of AWS's editors.
//
//     NODE_PATH=target/state-machine-validators/node_modules node validate.js FILE...

const fs = require("node:fs");
const asl = require("asl-validator");
const { getLanguageService } = require("amazon-states-language-service");
const { TextDocument } = require("vscode-languageserver-textdocument");

async function problems(file) {
  const text = fs.readFileSync(file, "utf8");
  const found = asl(JSON.parse(text)).errors.map((error) => `asl-validator: ${JSON.stringify(error)}`);
  const service = getLanguageService({});
  const document = TextDocument.create(file, "asl", 1, text);
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  for (const { message, range } of diagnostics) {
    found.push(`language service: line ${range.start.line + 1}: ${message}`);
  }
  return found;
}

async function main(files) {
  if (files.length === 0) {
    throw new Error("expected the definitions' files");
  }
  for (const file of files) {
    const found = await problems(file);
    for (const problem of found) {
      console.error(`${file}: ${problem}`);
    }
    process.exitCode ||= found.length > 0 ? 1 : 0;
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
