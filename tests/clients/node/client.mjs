// A language client on vscode-languageserver-protocol: starts `infill lsp` and talks to it.
//
// Takes the server's binary from INFILL_BIN. Gives `Client`, which keeps the text of its documents
// as the protocol has it, so that a test can compare; and fails at the end on messages of the
// server's that nobody expected.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  InlineCompletionRequest,
  StreamMessageReader,
  StreamMessageWriter,
  createProtocolConnection,
} from 'vscode-languageserver-protocol/node';
import { lines, offsetAt, places, positionAt } from './text.mjs';

/** Longest wait for one thing, in ms; a machine that compiles beside the tests is slow. */
const PATIENCE = 30_000;

export const Trigger = { Invoked: 1, Automatic: 2 };

/** Servers that may still run. */
const started = new Set();

/** Ends the servers that a failed test has left behind; for `afterEach`. */
export function killLeftovers() {
  started.forEach((server) => server.kill('SIGKILL'));
  started.clear();
}

export class Client {
  /** Starts a server; says nothing to it yet. */
  constructor(args = []) {
    assert.ok(process.env.INFILL_BIN, 'set INFILL_BIN to the built server');
    this.server = spawn(process.env.INFILL_BIN, ['lsp', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    started.add(this.server);
    this.ended = once(this.server, 'exit').then(([code]) => code);
    this.connection = createProtocolConnection(
      new StreamMessageReader(this.server.stdout),
      new StreamMessageWriter(this.server.stdin),
    );
    this.texts = new Map();
    this.versions = new Map();
    this.unexpected = [];
    this.connection.onUnhandledNotification((message) => this.unexpected.push(message));
    this.connection.onUnhandledProgress((message) => this.unexpected.push(message));
    this.connection.onError(([error]) => this.unexpected.push(error));
    // A server that is gone answers nothing more; what waits for it should fail and not wait on.
    this.connection.onClose(() => this.connection.dispose());
    this.connection.listen();
  }

  /** Starts a server and initializes it with these capabilities and options. */
  static async start({ capabilities = {}, options, args, processId = null } = {}) {
    const client = new Client(args);
    await client.initialize({ capabilities, initializationOptions: options, processId });
    return client;
  }

  async initialize(params) {
    const result = await this.connection.sendRequest('initialize', { rootUri: null, ...params });
    this.capabilities = result.capabilities;
    this.encoding = result.capabilities.positionEncoding ?? 'utf-16';
    await this.connection.sendNotification('initialized', {});
    return result;
  }

  /** What `infill/status` says. */
  status() {
    return this.connection.sendRequest('infill/status');
  }

  /** Waits until the model is loaded. */
  async ready() {
    await eventually('a model', async () => (await this.status()).state === 'ready');
    return this;
  }

  /** Opens a document; gives its address. */
  open(name, languageId, text) {
    const uri = `file:///project/${name}`;
    this.texts.set(uri, text);
    this.versions.set(uri, 1);
    this.connection.sendNotification('textDocument/didOpen', {
      textDocument: { uri, languageId, version: 1, text },
    });
    return uri;
  }

  /** Changes a document: `[{ range, text }]`, or `[{ text }]` for all of it. */
  change(uri, contentChanges) {
    let text = this.texts.get(uri);
    for (const change of contentChanges) {
      if (change.range) {
        const start = offsetAt(text, change.range.start, this.encoding);
        const end = offsetAt(text, change.range.end, this.encoding);
        text = text.slice(0, start) + change.text + text.slice(end);
      } else {
        text = change.text;
      }
    }
    const version = this.versions.get(uri) + 1;
    this.texts.set(uri, text);
    this.versions.set(uri, version);
    return this.connection.sendNotification('textDocument/didChange', {
      textDocument: { uri, version },
      contentChanges,
    });
  }

  close(uri) {
    this.texts.delete(uri);
    this.connection.sendNotification('textDocument/didClose', { textDocument: { uri } });
  }

  /** Asks for a completion; gives the list. */
  complete(uri, position, { context = { triggerKind: Trigger.Automatic }, token } = {}) {
    const params = { textDocument: { uri }, position, context };
    return this.connection.sendRequest(InlineCompletionRequest.type, params, token);
  }

  /**
   * Cuts a line of a document where the server has a suggestion: which places have one is the model's
   * affair. Gives the place, the answer, its item, and what is new in it; `wanted` may refuse that. `asked` is how it
   * is asked for.
   */
  async resume(uri, wanted = () => true, asked = {}) {
    const whole = this.texts.get(uri);
    for (const place of places(whole)) {
      const { end } = lines(whole).find((line) => line.end >= place);
      const at = positionAt(whole, place, this.encoding);
      const cut = { start: at, end: positionAt(whole, end, this.encoding) };
      await this.change(uri, [{ range: cut, text: '' }]);
      const answer = await this.complete(uri, at, asked);
      const [item] = answer.items;
      const added = item && this.accepted(uri, item).slice(place, this.accepted(uri, item).length - (whole.length - end));
      if (added && wanted(added, at)) return { at, answer, item, added };
      await this.change(uri, [{ range: { start: at, end: at }, text: whole.slice(place, end) }]);
    }
    assert.fail('no place has a suggestion');
  }

  /** The document after an item was accepted. */
  accepted(uri, item) {
    const text = this.texts.get(uri);
    const { start, end } = item.range;
    assert.equal(start.line, end.line, 'a range stays on its line');
    return (
      text.slice(0, offsetAt(text, start, this.encoding)) +
      item.insertText +
      text.slice(offsetAt(text, end, this.encoding))
    );
  }

  /** `shutdown` and `exit`; fails on a status other than 0 and on what nobody expected. */
  async stop() {
    await this.connection.sendRequest('shutdown');
    await this.connection.sendNotification('exit');
    assert.equal(await within('the end of the server', this.ended), 0);
    assert.deepEqual(this.unexpected, []);
  }
}

/** A test's body on a server of its own, started with this setup and ended in peace. */
export function withClient(setup, run) {
  return async () => {
    const client = await Client.start(setup);
    await run(client);
    await client.stop();
  };
}

/** Waits for a promise, but not for ever. */
export async function within(what, promise, patience = PATIENCE) {
  const late = Symbol('late');
  const timer = new AbortController();
  const first = await Promise.race([promise, sleep(patience, late, { signal: timer.signal })]);
  timer.abort();
  assert.notEqual(first, late, `${what}: not within ${patience} ms`);
  return first;
}

/** Waits until `look` gives something true, and gives that. */
export async function eventually(what, look, patience = PATIENCE) {
  const end = performance.now() + patience;
  for (;;) {
    const seen = await within(what, look(), patience);
    if (seen) return seen;
    assert.ok(performance.now() < end, `${what}: not within ${patience} ms`);
    await sleep(10);
  }
}
