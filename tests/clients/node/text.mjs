// Positions and offsets as the protocol defines them, on JavaScript strings.
//
// Lines end with LF, CRLF or CR. Columns count in the encoding's units. Offsets are JavaScript's,
// UTF-16 units.

/** Start and end of each line, without what ends it. */
export function lines(text) {
  const found = [];
  let start = 0;
  for (const { index, 0: end } of text.matchAll(/\r\n|\n|\r/g)) {
    found.push({ start, end: index });
    start = index + end.length;
  }
  found.push({ start, end: text.length });
  return found;
}

/** How many units a text takes. */
export function width(text, encoding) {
  if (encoding === 'utf-16') return text.length;
  if (encoding === 'utf-32') return [...text].length;
  return Buffer.byteLength(text, 'utf8');
}

export function offsetAt(text, position, encoding) {
  const all = lines(text);
  if (position.line >= all.length) return text.length;
  const { start, end } = all[position.line];
  let offset = start;
  let left = position.character;
  for (const character of text.slice(start, end)) {
    left -= width(character, encoding);
    if (left < 0) break;
    offset += character.length;
  }
  return offset;
}

export function positionAt(text, offset, encoding) {
  const all = lines(text);
  const line = all.findLastIndex(({ start }) => start <= offset);
  return { line, character: width(text.slice(all[line].start, offset), encoding) };
}

/** The position behind the last `mark` in the text. */
export function behind(text, mark, encoding) {
  return positionAt(text, text.lastIndexOf(mark) + mark.length, encoding);
}

/** Offsets in the middle of lines of code, behind a blank, a dot or an open bracket; the last first. */
export function places(text) {
  return lines(text)
    .flatMap(({ start, end }) => {
      const line = text.slice(start, end);
      const place = /^\s*\S{2,}.*?[ .(](?=\w)/.exec(line);
      return place ? [start + place[0].length] : [];
    })
    .reverse();
}
