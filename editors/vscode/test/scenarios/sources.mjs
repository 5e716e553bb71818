// Texts to complete in, with the cursor's place marked by `‸`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const read = (name) => readFileSync(new URL(`../../../../tests/data/try/${name}`, import.meta.url), 'utf8');

/** A Go function that lacks its last line, which every server knows. */
export const LAST_LINE = marked(read('unfinished.go').replace(/\n\t\n\}\n$/, '\n\t‸\n}\n'));

/** The same function, unwritten from where an error has to be looked at: what is missing goes over several lines. */
export const ERROR_CHECK = marked(read('unfinished.go').replace(/(json\.Marshal\(s\.values\)\n\t)[\s\S]*$/, '$1‸'));

/** A Python method whose arguments are still to be named, before its bracket is opened. */
export const ARGUMENTS = marked(read('shapes.py').replace('def __init__(self, side):\n', 'def __init__‸:\n'));

/** The place of the mark in a text, from 1, and the text without it. */
export function marked(text) {
  const parts = text.split('‸');
  assert.equal(parts.length, 2, 'one mark');
  const lines = parts[0].split(/\r?\n/);
  return { text: parts.join(''), at: [lines.length, lines.at(-1).length + 1] };
}
