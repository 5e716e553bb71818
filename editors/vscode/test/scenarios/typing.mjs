// Suggestions while the text changes under them, and beside what else VS Code shows.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';
import { LAST_LINE, marked } from './sources.mjs';

const [LINE] = LAST_LINE.at;

export const typing = {
  'typing along keeps the suggestion': async (window) => {
    const file = await window.edit('along.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    for (let typed = 1; typed < whole.length; typed += 1) {
      await window.type(whole[typed - 1]);
      await window.ghostIs(whole.slice(typed));
    }
    await window.press('Tab');
    await window.lineIs(LINE, `\t${whole}`);
  },

  'typing something else lets it go': async (window) => {
    const file = await window.edit('else.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.type(whole[0]);
    await window.ghostIs(whole.slice(1));
    await window.type('q');
    await eventually('another suggestion or none', async () => (await window.ghost()) !== whole.slice(1));
    await window.lineIs(LINE, `\t${whole[0]}q`);
  },

  'after backspace, what is taken still fits': async (window) => {
    const file = await window.edit('back.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.type(whole.slice(0, 3));
    await window.ghostIs(whole.slice(3));
    await window.press('Backspace');
    await window.ghostIs(whole.slice(2));
    await window.press('Backspace');
    await window.ghostIs(whole.slice(1));
    await window.press('Tab');
    await window.lineIs(LINE, `\t${whole}`);
  },

  'in a snippet Tab jumps on; behind it there are suggestions again': async (window) => {
    const { text, at } = LAST_LINE;
    await window.edit('snippet.go', text, at);
    await window.command('editor.action.insertSnippet', { snippet: 'if $1 {\n\t$2\n}\n$0' });
    await window.type('err != nil');
    await window.press('Tab');
    await window.type('return err');
    await window.press('Tab');
    await window.lineIs(LINE, '\tif err != nil {');
    await window.lineIs(LINE + 1, '\t\treturn err');
    await window.type('re');
    // Asked by hand, a model says what it is unsure of, too.
    await window.press('Alt+\\');
    const ghost = await window.ghostIs((ghost) => ghost.length > 1);
    await window.press('Tab');
    await window.lineIs(LINE + 3, `\tre${ghost}`);
  },

  'in a snippet there are suggestions if VS Code is told to let them': async (window) => {
    await window.settings({ 'editor.inlineSuggest.suppressInSnippetMode': false });
    await window.edit('insnippet.go', LAST_LINE.text, LAST_LINE.at);
    await window.command('editor.action.insertSnippet', { snippet: 'if $1 {\n\t$2\n}$0' });
    await window.type('err != nil');
    await window.press('Tab');
    await window.type('re');
    await window.ghostIs((ghost) => ghost.length > 1);
    const rest = await window.ghost();
    await window.press('Tab');
    await window.lineIs(LINE + 1, `\t\tre${rest}`);
    await window.press('Tab');
    await window.type('//');
    await window.lineIs(LINE + 2, '\t}//');
  },

  'the open suggest widget is told to the server and keeps Tab': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    const { text, at } = marked('incomparable = 1\n‸\n');
    await window.edit('widget.txt', text, at);
    await window.type('inc');
    await window.press('Control+Space');
    const entry = '.suggest-widget.visible .monaco-list-row.focused';
    await eventually('the suggest widget', () => window.page.locator(entry).isVisible());
    await eventually('a request that names its entry', () =>
      fake.heard('textDocument/inlineCompletion').some(({ context }) => context.selectedCompletionInfo),
    );
    const { context } = fake
      .heard('textDocument/inlineCompletion')
      .findLast(({ context }) => context.selectedCompletionInfo);
    assert.equal(context.selectedCompletionInfo.text, 'incomparable');
    assert.deepEqual(context.selectedCompletionInfo.range, {
      start: { line: 1, character: 0 },
      end: { line: 1, character: 3 },
    });
    await window.ghostIs((ghost) => ghost.endsWith(' fake'));
    await window.press('Tab');
    await window.lineIs(2, 'incomparable');
  },

  'the real server beside the suggest widget doubles nothing': async (window) => {
    await window.settings({ 'editor.quickSuggestions': true });
    const file = await window.edit('beside.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.type(whole.slice(0, 3));
    await window.press('Control+Space');
    await eventually('the suggest widget', () => window.page.locator('.suggest-widget.visible').isVisible());
    await window.press('Tab');
    await eventually(
      'the widget gone',
      async () => !(await window.page.locator('.suggest-widget.visible').isVisible()),
    );
    const [word] = /^\w+/.exec(whole);
    const line = await eventually(
      'the word',
      () => window.line(LINE),
      (line) => line.includes(word),
    );
    assert.equal(line.split(word).length, 2, `${word} stands there once: ${JSON.stringify(line)}`);
  },

  'other letters and tabs before the cursor': async (window) => {
    const strange = '\t// naïve 日本語 😀 𝒳\n';
    const { text, at } = marked(
      LAST_LINE.text
        .replace(/\n\t\n\}\n$/, `\n${strange}\t‸\n}\n`)
        .replace('// Save writes', '// Сохранить 😀 Save writes'),
    );
    const file = await window.edit('letters.go', text, at);
    const whole = window.suggestion(file, at);
    assert.ok(whole);
    await window.press('Alt+\\');
    await window.ghostIs(whole);
    await window.press('Tab');
    await window.textIs(text.replace(/\n\t\n\}\n$/, `\n\t${whole}\n}\n`));
  },

  'other letters on the same line': async (window) => {
    const { text, at } = marked(LAST_LINE.text.replace(/\n\t\n\}\n$/, '\n\t/* 😀日本 */ r‸\n}\n'));
    await window.edit('sameline.go', text, at);
    await window.press('Alt+\\');
    const ghost = await window.ghostIs();
    await window.press('Tab');
    await window.lineIs(at[0], `\t/* 😀日本 */ r${ghost}`);
  },

  'lines that end in CRLF': async (window) => {
    const { at } = LAST_LINE;
    const text = LAST_LINE.text.replaceAll('\n', '\r\n');
    const file = await window.edit('crlf.go', text, at);
    const whole = window.suggestion(file, at);
    await window.press('Alt+\\');
    await window.ghostIs(whole);
    await window.press('Tab');
    await window.press('Control+s');
    await eventually(
      'the saved file',
      () => window.file('crlf.go') === text.replace(/\t\r\n\}\r\n$/, `\t${whole}\r\n}\r\n`),
    );
  },

  'at the end of a file of 20,000 lines': async (window) => {
    const filler = Array.from({ length: 20_000 }, (_, n) => `// ${n}: nothing to see here\n`).join('');
    const { text, at } = LAST_LINE;
    const long = text.replace('type Store', `${filler}type Store`);
    const place = [at[0] + 20_000, at[1]];
    const file = await window.edit('long.go', long, place);
    const whole = window.suggestion(file, place);
    await window.type(whole[0]);
    await window.ghostIs(whole.slice(1));
    await window.press('Tab');
    await window.lineIs(place[0], `\t${whole}`);
  },
};
