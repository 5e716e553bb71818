// Fits the server's items to what VS Code can draw.

import { type InlineCompletionItem, type InlineCompletionList, type Position, Range, type TextDocument } from 'vscode';

/** Half of a character beyond the first 65,536, an emoji for one. */
const HALF = /[\ud800-\udfff]/;

/**
 * Items that replace what stands before the cursor by itself and go on from there. If there is an emoji in it,
 * VS Code (1.139) draws nothing at all; such items begin at the cursor instead.
 */
export function fit(
  found: InlineCompletionItem[] | InlineCompletionList | null | undefined,
  document: TextDocument,
  cursor: Position,
): InlineCompletionItem[] {
  const items = Array.isArray(found) ? found : (found?.items ?? []);
  for (const item of items) {
    const { range, insertText } = item;
    if (range?.contains(cursor) && typeof insertText === 'string') {
      const before = document.getText(new Range(range.start, cursor));
      if (HALF.test(before) && insertText.startsWith(before)) {
        item.insertText = insertText.slice(before.length);
        item.range = new Range(cursor, range.end);
        delete item.filterText;
      }
    }
  }
  return items;
}
