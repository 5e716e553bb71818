// Requests that come early, late, all at once, or are taken back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { CancellationTokenSource, LSPErrorCodes } from 'vscode-languageserver-protocol/node';
import { Client, Trigger, eventually, killLeftovers, withClient, within } from './client.mjs';
import { behind } from './text.mjs';

afterEach(killLeftovers);

// In ms: far above what the protocol's part takes on a busy machine, far below forty completions.
const AT_ONCE = 1500;

const TEXT = readFileSync(new URL('../../data/try/shapes.py', import.meta.url), 'utf8');
const BY_HAND = { context: { triggerKind: Trigger.Invoked } };
// Some place, with a suggestion or without one.
const AT = behind(TEXT, 'return 4 * ', 'utf-16');

/** Opens this many documents of different text, so that no answer serves two of them. */
function openMany(client, count) {
  return Array.from({ length: count }, (_, number) =>
    client.open(`many_${number}.py`, 'python', TEXT.replaceAll('side', `side_${number}`)),
  );
}

test('inline completion and the encoding are announced', withClient({}, async (client) => {
  assert.equal(client.capabilities.inlineCompletionProvider, true);
  assert.equal(client.capabilities.positionEncoding, 'utf-16');
  await client.ready();
}));

test('inline completion is registered if the client wants that', async () => {
  const client = new Client();
  const registered = new Promise((resolve) => {
    client.connection.onRequest('client/registerCapability', (params) => void resolve(params));
  });
  await client.initialize({ capabilities: { textDocument: { inlineCompletion: { dynamicRegistration: true } } } });
  assert.equal(client.capabilities.inlineCompletionProvider, undefined);
  const { registrations } = await within('the registration', registered);
  assert.deepEqual(registrations.map(({ method }) => method), ['textDocument/inlineCompletion']);
  await client.ready();
  await client.resume(client.open('shapes.py', 'python', TEXT));
  await client.stop();
});

test('both trigger kinds are answered', withClient({}, async (client) => {
  await client.ready();
  const uri = client.open('shapes.py', 'python', TEXT);
  const { at, item } = await client.resume(uri);
  for (const triggerKind of [Trigger.Automatic, Trigger.Invoked]) {
    const { items } = await client.complete(uri, at, { context: { triggerKind } });
    assert.deepEqual(items[0], item);
  }
}));

test('a completion before the model is there is no error', async () => {
  const client = await Client.start();
  const uri = client.open('shapes.py', 'python', TEXT);
  const { items } = await within('an answer', client.complete(uri, AT));
  assert.ok(Array.isArray(items));
  await client.stop();
});

test('a model that cannot be read is told once, and a completion is no error', async () => {
  const client = new Client(['--model', '/no/such/model.gguf']);
  const told = [];
  client.connection.onNotification('window/showMessage', (params) => told.push(params));
  await client.initialize({ capabilities: {} });
  const uri = client.open('shapes.py', 'python', TEXT);
  assert.deepEqual((await client.complete(uri, AT)).items, []);
  assert.deepEqual((await client.complete(uri, AT)).items, []);
  const status = await client.status();
  assert.equal(status.state, 'failed');
  assert.match(status.message, /\/no\/such\/model\.gguf/);
  await eventually('a message', async () => told.length > 0);
  assert.equal(told.length, 1);
  assert.match(told[0].message, /\/no\/such\/model\.gguf/);
  await client.stop();
});

test('a completion that is taken back ends at once', withClient({}, async (client) => {
  await client.ready();
  const [uri] = openMany(client, 1);
  const source = new CancellationTokenSource();
  const answer = client.complete(uri, AT, { token: source.token });
  const start = performance.now();
  source.cancel();
  await assert.rejects(answer, { code: LSPErrorCodes.RequestCancelled });
  assert.ok(performance.now() - start < AT_ONCE, `after ${performance.now() - start} ms`);
  await eventually('an idle engine', async () => (await client.status()).engine_idle, 2 * AT_ONCE);
  assert.ok(Array.isArray((await client.complete(uri, AT)).items), 'the next one is answered');
}));

test('forty completions under way hold up nothing', withClient({}, async (client) => {
  await client.ready();
  const uris = openMany(client, 40);
  const sources = uris.map(() => new CancellationTokenSource());
  const answers = uris.map((uri, number) => client.complete(uri, AT, { token: sources[number].token }));
  const settled = Promise.allSettled(answers);

  const start = performance.now();
  const other = client.open('other.py', 'python', '');
  client.change(other, [{ range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, text: 'x' }]);
  const status = await client.status();
  assert.ok(performance.now() - start < AT_ONCE, `a status took ${performance.now() - start} ms`);
  assert.equal(status.documents, 41, 'what came behind the completions was handled');
  assert.ok(status.pending > 0, 'and they were still under way');

  sources.forEach((source) => source.cancel());
  const cancelled = performance.now();
  const ends = await within('all answers', settled);
  assert.ok(performance.now() - cancelled < AT_ONCE, `the last answer came after ${performance.now() - cancelled} ms`);
  const refused = ends.filter(({ reason }) => reason?.code === LSPErrorCodes.RequestCancelled);
  assert.ok(refused.length >= status.pending / 2, `${refused.length} of ${status.pending} were cancelled`);
  await eventually('an idle engine', async () => (await client.status()).engine_idle, 2 * AT_ONCE);
}));

test('a newer request for a document ends the older ones with nothing', withClient({ options: { infill: { neighbours: false } } }, async (client) => {
  await client.ready();
  const first = client.open('first.py', 'python', TEXT);
  const { at } = await client.resume(first);
  // By hand, since who types does not wait long for the best answer.
  const { items } = await client.complete(first, at, BY_HAND);
  assert.notEqual(items.length, 0);
  const uri = client.open('second.py', 'python', client.texts.get(first));
  const answers = await Promise.all(Array.from({ length: 30 }, () => client.complete(uri, at, BY_HAND)));
  assert.deepEqual(answers.at(-1).items, items, 'the newest is answered');
  assert.ok(answers.slice(0, -1).some(({ items }) => items.length === 0), 'an older one was ended');
}));

test('typing along a suggestion is answered from memory', withClient({ options: { infill: { timings: true } } }, async (client) => {
  await client.ready();
  const uri = client.open('shapes.py', 'python', TEXT);
  const { at, answer, item, added } = await client.resume(uri, (added) => /^[ -~]{4}/.test(added));
  assert.equal(answer.infill.cache, 'miss');
  assert.ok(answer.infill.tokens_prefilled > 0 && answer.infill.tokens_decoded > 0);
  assert.equal((await client.complete(uri, at)).infill.cache, 'exact');

  const full = client.accepted(uri, item);
  const line = added.split('\n')[0];
  for (let typed = 0; typed < Math.min(line.length - 1, 32); typed += 1) {
    const place = { line: at.line, character: at.character + typed };
    await client.change(uri, [{ range: { start: place, end: place }, text: line[typed] }]);
    const next = await client.complete(uri, { line: at.line, character: place.character + 1 });
    assert.equal(next.infill.tokens_decoded, 0, `the model was run after ${line.slice(0, typed + 1)}`);
    assert.equal(client.accepted(uri, next.items[0]), full);
  }
}));

test('the same request on another server has the same answer', async () => {
  const answers = [];
  for (let server = 0; server < 2; server += 1) {
    const client = await (await Client.start()).ready();
    answers.push(await client.resume(client.open('shapes.py', 'python', TEXT)));
    await client.stop();
  }
  assert.deepEqual(answers[0], answers[1]);
});

test('an item extends the entry that is selected in the popup', withClient({}, async (client) => {
  await client.ready();
  const uri = client.open('shapes.py', 'python', TEXT);
  const { at, added } = await client.resume(uri, (added) => /^\w{3}/.test(added));
  const range = { start: at, end: at };
  const [word] = /^\w+/.exec(added);
  let shown = 0;
  for (let length = 1; length < word.length; length += 1) {
    const text = added.slice(0, length);
    const context = { triggerKind: Trigger.Automatic, selectedCompletionInfo: { range, text } };
    const { items } = await client.complete(uri, at, { context });
    for (const item of items) {
      assert.deepEqual(item.range, range);
      assert.ok(item.insertText.startsWith(text) && item.insertText.length > text.length, item.insertText);
      shown += 1;
    }
  }
  assert.ok(shown > 0, `no entry of ${word} was extended`);
}));

test('positions beyond the text and unknown documents are no errors', withClient({}, async (client) => {
  await client.ready();
  const uri = client.open('shapes.py', 'python', TEXT);
  for (const at of [{ line: 1e6, character: 0 }, { line: 0, character: 1e6 }, { line: 2 ** 31 - 1, character: 2 ** 31 - 1 }]) {
    assert.ok(Array.isArray((await client.complete(uri, at)).items));
  }
  assert.deepEqual((await client.complete('file:///nowhere.py', AT)).items, []);
  assert.deepEqual((await client.complete('untitled:Untitled-1', AT)).items, []);
}));

test('text of any kind gets an answer', withClient({}, async (client) => {
  await client.ready();
  const texts = { empty: '', blank: '\n\n\n', nul: 'a\0b\n', mark: '\ufeffx = 1\n', mask: 'x = "[MASK] [gMASK] <|endofpiece|>"\n', long: 'x'.repeat(100_000) };
  for (const [name, text] of Object.entries(texts)) {
    const uri = client.open(`${name}.unknown`, 'nobody-knows-this', text);
    assert.ok(Array.isArray((await client.complete(uri, behind(text, '', 'utf-16'))).items), name);
    assert.ok(Array.isArray((await client.complete(uri, { line: 0, character: 0 })).items), name);
  }
}));
