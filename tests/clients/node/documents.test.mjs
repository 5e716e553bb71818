// Documents under all kinds of edits: what a completion says must follow from the client's text.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { Trigger, killLeftovers, withClient } from './client.mjs';
import { behind, lines, offsetAt, positionAt, width } from './text.mjs';

afterEach(killLeftovers);

const ENCODINGS = ['utf-8', 'utf-16', 'utf-32'];
const offering = (encoding) => ({ capabilities: { general: { positionEncodings: [encoding] } } });
// Asked by hand a model says what it is unsure of, too.
const BY_HAND = { context: { triggerKind: Trigger.Invoked } };
// Wide characters at the start of most lines, and CRLF between them.
const GO = readFileSync(new URL('../../data/try/user.go', import.meta.url), 'utf8')
  .replace(/^(\s*)(?=[a-z])/gm, '$1/* é🦀 */ ')
  .replaceAll('\n', '\r\n');
const SHAPES = readFileSync(new URL('../../data/try/shapes.py', import.meta.url), 'utf8');

/** An item repeats the text of its line up to the cursor, and its range ends at the cursor or behind it. */
function assertFits(client, uri, at, item) {
  const text = client.texts.get(uri);
  const { start, end } = lines(text)[at.line];
  assert.equal(item.range.start.line, at.line);
  assert.equal(item.range.end.line, at.line);
  assert.ok(item.range.end.character >= at.character, 'the range reaches the cursor');
  assert.ok(item.range.end.character <= width(text.slice(start, end), client.encoding), 'the range ends on its line');
  const accepted = client.accepted(uri, item);
  const cursor = offsetAt(text, at, client.encoding);
  assert.equal(accepted.slice(0, cursor), text.slice(0, cursor), 'what stood before the cursor stands there still');
  assert.ok(accepted.length > text.length, 'something is new');
}

for (const encoding of ENCODINGS) {
  test(`wide characters and CRLF in ${encoding}`, withClient(offering(encoding), async (client) => {
    await client.ready();
    assert.equal(client.encoding, encoding);
    const half = GO.indexOf('// Get');
    const uri = client.open('user.go', 'go', GO.slice(0, half));
    const end = positionAt(GO.slice(0, half), half, encoding);
    client.change(uri, [{ range: { start: end, end }, text: GO.slice(half) + '// 🦀🦀 ' }]);
    // Into the middle of a line, between two characters that are wide in every encoding but one.
    const middle = behind(client.texts.get(uri), '// 🦀', encoding);
    client.change(uri, [
      { range: { start: middle, end: middle }, text: '幅' },
      { range: { start: { line: middle.line, character: 0 }, end: middle }, text: '' },
    ]);
    assert.ok(client.texts.get(uri).endsWith('\r\n幅🦀 '));
    const { at, item } = await client.resume(uri, (added, { line }) => {
      const { start, end } = lines(client.texts.get(uri))[line];
      return client.texts.get(uri).slice(start, end).includes('🦀 */ ');
    }, BY_HAND);
    assertFits(client, uri, at, item);
  }));
}

test('an edit replaces the whole text', withClient({}, async (client) => {
  await client.ready();
  const uri = client.open('shapes.py', 'python', 'nothing of interest\n');
  client.change(uri, [{ text: SHAPES }]);
  const { at, item } = await client.resume(uri);
  assertFits(client, uri, at, item);
}));

test('a hundred documents', withClient({ options: { infill: { neighbours: false } } }, async (client) => {
  // Neighbours are off, for they would be the same text.
  await client.ready();
  const first = client.open('shapes.py', 'python', SHAPES);
  const { at } = await client.resume(first);
  const { items: expected } = await client.complete(first, at, BY_HAND);
  assert.notEqual(expected.length, 0);
  const text = client.texts.get(first);
  const uris = Array.from({ length: 100 }, (_, number) => client.open(`shapes_${number}.py`, 'python', text));
  assert.equal((await client.status()).documents, 101);
  // Ten at a time: a server waits so long and no longer for a likelier answer than the one it has.
  for (let from = 0; from < uris.length; from += 10) {
    const answers = await Promise.all(uris.slice(from, from + 10).map((uri) => client.complete(uri, at, BY_HAND)));
    for (const { items } of answers) assert.deepEqual(items, expected, 'the same text, the same answer');
  }
  const again = await Promise.all(uris.map((uri) => client.complete(uri, at, BY_HAND)));
  for (const { items } of again) assert.deepEqual(items[0], expected[0], 'all at once, the answer that is known');
  uris.forEach((uri) => client.close(uri));
  assert.equal((await client.status()).documents, 1);
  assert.deepEqual((await client.complete(uris[0], at)).items, [], 'a closed document has no completions');
}));

test('a document that is opened again starts anew', withClient({}, async (client) => {
  await client.ready();
  client.close(client.open('shapes.py', 'python', 'old = 1\n'));
  const uri = client.open('shapes.py', 'python', SHAPES);
  const { at, item } = await client.resume(uri);
  assertFits(client, uri, at, item);
}));

/** Numbers from 0 up to `below`, the same in every run (mulberry32). */
function numbers(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) % below;
  };
}

const PIECES = [
  'x', '(', ')', '{', '}', '"', ' ', '    ', '\n', '\r\n', '\r', '\t', 'é', '幅', '🦀', 'return ', 'self.side',
  'def area(self):\n    ', '# 名前 🦀\r\n', 'for item in items:\r\n    total += item.price\r\n', '👩‍👩‍👧', '\u2028',
];

/** An offset that a position can name: never inside a character or a CRLF. */
function anOffset(text, number) {
  const all = lines(text);
  const { start, end } = all[number(all.length)];
  let offset = start + number(end - start + 1);
  if (/[\udc00-\udfff]/.test(text[offset] ?? '')) offset -= 1;
  return offset;
}

for (const encoding of ENCODINGS) {
  test(`ten thousand edits in ${encoding}`, withClient({ ...offering(encoding), options: { infill: { timings: true, automatic: false, neighbours: false } } }, async (client) => {
    // Neighbours are off, for the twin would be one.
    await client.ready();
    const number = numbers(7);
    // Plain text, since how much of a syntax tree is there in time is a matter of the machine's speed.
    const uri = client.open('edited', 'plaintext', '');
    for (let edits = 0; edits < 10_000; ) {
      const changes = [];
      let text = client.texts.get(uri);
      for (let count = 1 + number(3); count > 0; count -= 1, edits += 1) {
        const start = anOffset(text, number);
        const reach = anOffset(text, number);
        // Cut more than is put in while the text is long, so that it stays within one prompt.
        const end = number(4) === 0 || text.length > 600 ? Math.max(start, reach) : start;
        const piece = PIECES[number(PIECES.length)];
        changes.push({
          range: { start: positionAt(text, start, encoding), end: positionAt(text, end, encoding) },
          text: piece,
        });
        text = text.slice(0, start) + piece + text.slice(end);
      }
      await client.change(uri, changes);
      assert.equal(client.texts.get(uri), text);
    }

    // What the server holds now must be the client's text: asked at many places, it answers as it
    // does for a document that was opened with that text, token for token.
    const text = client.texts.get(uri);
    const end = positionAt(text, text.length, encoding);
    await client.change(uri, [{ range: { start: end, end }, text: `\n${SHAPES}` }]);
    const whole = client.texts.get(uri);
    const twin = client.open('twin', 'plaintext', whole);
    const ends = lines(whole).map(({ end }) => end);
    let shown = 0;
    for (const place of [...Array.from({ length: 12 }, () => anOffset(whole, number)), ...ends.slice(-20)]) {
      const at = positionAt(whole, place, encoding);
      // Asked by hand, since what the server reads on its own depends on where a cursor was before.
      const [edited, opened] = [await client.complete(uri, at, BY_HAND), await client.complete(twin, at, BY_HAND)];
      assert.deepEqual(edited.items, opened.items, `at ${at.line}:${at.character}`);
      // The twin's text has been read for the other already.
      const read = ({ infill }) => infill.tokens_prefilled + infill.tokens_reused;
      assert.equal(read(edited), read(opened));
      edited.items.forEach((item) => assertFits(client, uri, at, item));
      shown += edited.items.length;
    }
    assert.ok(shown > 0, 'no place had a suggestion');
  }));
}
