// A server for faults and for what a small model cannot do: `node fake.mjs MODE RECORD ARGS…`.
//
// It speaks the protocol as `infill lsp` does, suggests ` fake` everywhere, appends each message that it gets to the
// file RECORD, and behaves as MODE says: `hang`, `loading`, `crash`, `dead`, `deaf`, `old` or `chat`.

import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createProtocolConnection,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver-protocol/node';

const [mode, record, ...args] = process.argv.slice(2);

if (args.includes('--version')) {
  console.log(`infill ${mode === 'old' ? '0.0.9' : '0.1.0'}`);
  process.exit(0);
}
if (mode === 'dead') {
  console.error('2026-01-01T00:00:00Z ERROR fake: there is no memory left');
  process.exit(3);
}

const connection = createProtocolConnection(
  new StreamMessageReader(process.stdin),
  new StreamMessageWriter(process.stdout),
);
const noted = (method, params) => appendFileSync(record, `${JSON.stringify({ method, params })}\n`);

const COMMANDS = ['infill.selectModel', 'infill.listModels', 'infill.pullModel', 'infill.task', 'infill.didAccept'];

connection.onRequest('initialize', async (params) => {
  noted('initialize', params);
  if (mode === 'deaf') {
    await new Promise(() => {});
  }
  return {
    capabilities: {
      textDocumentSync: { openClose: true, change: 2 },
      inlineCompletionProvider: {},
      executeCommandProvider: { commands: COMMANDS },
    },
    serverInfo: { name: 'infill', version: '0.1.0' },
  };
});
connection.onNotification('initialized', () => {
  if (mode === 'loading') {
    void load();
  } else {
    tell('ready');
  }
});
connection.onRequest('shutdown', () => null);
connection.onNotification('exit', () => process.exit(0));
connection.onNotification((method, params) => noted(method, params));

connection.onRequest('textDocument/inlineCompletion', async (params) => {
  noted('textDocument/inlineCompletion', params);
  if (mode === 'crash') {
    process.exit(134);
  }
  if (mode === 'hang') {
    // Nothing is read any more, and nothing is answered: the pipe from the editor fills up.
    process.stdin.pause();
    setInterval(() => {}, 1_000);
    await new Promise(() => {});
  }
  const text = params.context.selectedCompletionInfo?.text ?? '';
  const range = params.context.selectedCompletionInfo?.range ?? { start: params.position, end: params.position };
  const items = [' fake', ' second fake'].map((fake) => ({ insertText: text + fake, range }));
  return { items: params.context.triggerKind === 1 ? items : items.slice(0, 1) };
});

connection.onRequest('infill/status', () => ({ state: 'ready', model: 'fake', message: null, usage: usage() }));
connection.onRequest('infill/why', () => null);

connection.onRequest('workspace/executeCommand', async (params, token) => {
  noted('workspace/executeCommand', params);
  const [argument] = params.arguments ?? [];
  switch (params.command) {
    case 'infill.listModels':
      return {
        current: 'fake',
        models: [{ name: 'small-one', bytes: 42_000_000, path: '/models/small-one' }],
        known: [{ name: 'large-one', repository: 'makers/large-one', licence: 'Apache-2.0' }],
      };
    case 'infill.pullModel':
      return pull(argument, params.workDoneToken, token);
    case 'infill.task':
      return mode === 'chat' ? work(argument) : null;
    default:
      return null;
  }
});

connection.listen();

function usage() {
  return { shown: 3, accepted: 2, kept: 2, characters: 20 };
}

function tell(state, { percent = null, busy = false, kind = 'Normal', message = `fake is ${state}` } = {}) {
  const infill = { state, model: 'fake', percent, uri: null, why: null, ms: 7.2 };
  return connection.sendNotification('didChangeStatus', { kind, busy, message, infill });
}

/** Loads as far as 40% until there is a file beside the record that lets it go on. */
async function load() {
  await tell('loading', { percent: 40, busy: true, message: 'fake is loading' });
  while (!existsSync(`${record}.go`)) {
    await sleep(50);
  }
  await tell('ready');
}

/** Downloads until a third, and then only if it is let. */
async function pull(name, token, cancelled) {
  const progress = (value) => connection.sendNotification('$/progress', { token, value });
  await progress({ kind: 'begin', title: name, percentage: 0, cancellable: true });
  await progress({ kind: 'report', message: '33 of 100 MB', percentage: 33 });
  while (!existsSync(`${record}.go`)) {
    if (cancelled.isCancellationRequested) {
      noted('cancelled', name);
      throw new ResponseError(ErrorCodes.RequestCancelled ?? -32800, 'cancelled');
    }
    await sleep(50);
  }
  await progress({ kind: 'end' });
  return { name, licence: 'Apache-2.0', notice: 'Built by the makers.' };
}

const ANSWERS = {
  explain: ['It adds ', 'two numbers.'],
  comment: ['# Adds two numbers.\n', 'def add(a, b):\n    return a + b'],
  fix: ['def add(a, b):\n', '    return a + b'],
  translate: ['function add(a, b) {\n', '  return a + b;\n}\n'],
  tests: ['def test_add():\n', '    assert add(1, 2) == 3\n'],
};

/** Writes in two pieces, with a moment between them. */
async function work({ kind, to, partialResultToken }) {
  for (const text of ANSWERS[kind]) {
    await connection.sendNotification('$/progress', { token: partialResultToken, value: { text } });
    await sleep(100);
  }
  return { text: ANSWERS[kind].join(''), language: to ?? 'python' };
}
