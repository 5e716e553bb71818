// Ghost text, and the ways to take it.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';
import { ARGUMENTS, ERROR_CHECK, LAST_LINE } from './sources.mjs';

/** Opens a source and asks for a suggestion by its key; gives what is there, after the command line's opinion. */
async function ask(window, name, { text, at }) {
  const file = await window.edit(name, text, at);
  const expected = window.suggestion(file, at);
  assert.ok(expected, `the server has nothing to say at ${name}:${at.join(':')}`);
  await window.press('Alt+\\');
  await window.ghostIs(expected);
  return expected;
}

export const accepting = {
  'typing shows ghost text, Tab takes it, and it is saved': async (window) => {
    const file = await window.edit('typed.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.type(whole[0]);
    await window.ghostIs(whole.slice(1));
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
    await window.press('Control+s');
    await eventually('the saved file', () => window.file('typed.go').endsWith(`\t${whole}\n}\n`));
    assert.equal(await window.ghost(), '');
  },

  'a key asks for it where nothing was typed': async (window) => {
    const whole = await ask(window, 'asked.go', LAST_LINE);
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
  },

  'Escape puts it away and changes nothing': async (window) => {
    await ask(window, 'escaped.go', LAST_LINE);
    await window.press('Escape');
    await window.ghostIs('');
    await window.textIs(LAST_LINE.text);
  },

  'word by word': async (window) => {
    const whole = await ask(window, 'words.go', LAST_LINE);
    const [word] = /^\s*\S+/.exec(whole);
    assert.notEqual(word, whole, 'more than one word to take');
    await window.press('Control+ArrowRight');
    await window.lineIs(LAST_LINE.at[0], `\t${word}`);
    await window.ghostIs(whole.slice(word.length));
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
  },

  'line by line': async (window) => {
    const { text, at } = ERROR_CHECK;
    const file = await window.edit('lines.go', text, at);
    const lines = window.suggestion(file, at).split('\n');
    assert.ok(lines.length > 1, `more than one line to take, not ${JSON.stringify(lines)}`);
    await window.press('Alt+\\');
    await window.ghostIs((ghost) => ghost.startsWith(lines[0]));
    await window.press('Control+Alt+ArrowRight');
    await window.lineIs(at[0], `\t${lines[0]}`);
    assert.ok(!(await window.text()).includes(lines.join('\n')), 'only one line was taken');
    await window.ghostIs((ghost) => ghost.includes(lines[1].trim()));
    await window.press('Control+Alt+ArrowRight');
    await window.lineIs(at[0] + 1, lines[1]);
  },

  'undo brings back what was there before, redo what was taken': async (window) => {
    const whole = await ask(window, 'undone.go', LAST_LINE);
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
    await window.press('Control+z');
    await window.textIs(LAST_LINE.text);
    await window.press('Control+y');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
  },

  'the next and the previous of several': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('several.txt', '\n');
    await window.press('Alt+\\');
    await window.ghostIs(' fake');
    await window.press('Alt+]');
    await window.ghostIs(' second fake');
    await window.press('Alt+[');
    await window.ghostIs(' fake');
    await window.press('Alt+]');
    await window.ghostIs(' second fake');
    await window.press('Tab');
    await window.lineIs(1, ' second fake');
    const { triggerKind } = fake.heard('textDocument/inlineCompletion')[0].context;
    assert.equal(triggerKind, 1, 'asked by hand: the server may give several');
  },

  'nothing is doubled inside brackets that close themselves': async (window) => {
    const { text, at } = ARGUMENTS;
    const [line] = at;
    await window.edit('brackets.py', text, at);
    await window.openBracket(line, '    def __init__():');
    // Asked by hand, a model says what it is unsure of, too.
    await window.press('Alt+\\');
    const ghost = await window.ghostIs();
    await window.press('Tab');
    await eventually('the suggestion in the text', async () => (await window.line(line)).includes(ghost.trim()));
    const taken = await window.line(line);
    assert.match(taken, /^ {4}def __init__\([^()]+\):$/, 'one bracket opens, one closes');
    await window.press('Escape', 'End');
    await window.press('Control+z');
    await window.lineIs(line, '    def __init__():');
  },

  'several cursors': async (window) => {
    const { text, at } = LAST_LINE;
    const [line] = at;
    // A second function that lacks the same line.
    const twice = text + text.slice(text.indexOf('// Save')).replaceAll('Save', 'Keep');
    const other = twice.split('\n').length - 2;
    const file = await window.edit('cursors.go', twice, at);
    const whole = window.suggestion(file, at);
    await window.probe(
      (vscode, lines) => {
        vscode.window.activeTextEditor.selections = lines.map((line) => new vscode.Selection(line - 1, 1, line - 1, 1));
      },
      [line, other],
    );
    await eventually('a second cursor', () => window.page.locator('text=2 selections').isVisible());
    await window.type(whole[0]);
    // The ghost stands at both.
    await window.ghostIs((ghost) => ghost.startsWith(whole.slice(1)));
    await window.press('Tab');
    await window.lineIs(line, `\t${whole}`);
    await window.lineIs(other, `\t${whole}`);
    await window.press('Control+z');
    const taken = async (number) => (await window.line(number)) === `\t${whole}`;
    await eventually('both as they were', async () => !(await taken(line)) && !(await taken(other)));
  },
};
