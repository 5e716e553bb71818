// Runs functions of a test in the extension host, beside the extension under test, and sends back what they return.
//
// A test posts a function's source and its arguments to the port that is written to the file INFILL_PROBE.

const { writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const vscode = require('vscode');

exports.activate = () => {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) {
      body += piece;
    }
    try {
      const { source, args } = JSON.parse(body);
      const result = await new Function('require', `return (${source})`)(require)(vscode, ...args);
      response.end(JSON.stringify({ result: result ?? null }));
    } catch (error) {
      response.statusCode = 500;
      response.end(JSON.stringify({ error: error.stack ?? String(error) }));
    }
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    writeFileSync(process.env.INFILL_PROBE, JSON.stringify({ port, pid: process.pid }));
  });
};
