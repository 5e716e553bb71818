// Where code is written: new files, notebooks, several folders, folders that are not trusted.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../window.mjs';
import { LAST_LINE } from './sources.mjs';

export const places = {
  'a file that was never saved': async (window) => {
    const saved = await window.edit('copy.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(saved, LAST_LINE.at);
    await window.probe(
      async (vscode, content, [line, column]) => {
        const document = await vscode.workspace.openTextDocument({ language: 'go', content });
        const at = new vscode.Position(line - 1, column - 1);
        await vscode.window.showTextDocument(document, { selection: new vscode.Range(at, at) });
      },
      LAST_LINE.text,
      LAST_LINE.at,
    );
    await window.focus();
    await window.press('Alt+\\');
    await window.ghostIs(whole);
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
  },

  'a cell of a notebook': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    const cell = { cell_type: 'code', execution_count: null, metadata: {}, outputs: [], source: ['x = 1\n', 'y ='] };
    const notebook = { cells: [cell], metadata: { language_info: { name: 'python' } }, nbformat: 4, nbformat_minor: 5 };
    const file = path.join(window.folder, 'book.ipynb');
    writeFileSync(file, JSON.stringify(notebook));
    await window.probe(async (vscode, file) => {
      const book = await vscode.workspace.openNotebookDocument(vscode.Uri.file(file));
      await vscode.window.showNotebookDocument(book);
    }, file);
    const line = window.page.locator('.notebookOverlay .view-line', { hasText: 'y' });
    await line.click({ timeout: 10_000 });
    await window.press('Control+End');
    await window.press('Alt+\\');
    await window.ghostIs(' fake');
    assert.match(fake.heard('textDocument/inlineCompletion').at(-1).textDocument.uri, /^vscode-notebook-cell:/);
    await window.press('Tab');
    await window.press('Control+s');
    await eventually(
      'the saved notebook',
      () => JSON.parse(window.file('book.ipynb')).cells[0].source.join(''),
      (source) => source === 'x = 1\ny = fake',
    );
  },

  'two folders in one window': async (window) => {
    const workspace = path.join(window.home, 'two.code-workspace');
    writeFileSync(workspace, JSON.stringify({ folders: [{ path: window.folder }, { path: window.other }] }));
    await window.go(`workspace=${encodeURIComponent(workspace)}`);
    await window.settings({ 'infill.exclude': ['left-alone.go'] });
    const file = await window.edit('second.go', LAST_LINE.text, LAST_LINE.at, { folder: window.other });
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.ask(whole);
    await window.press('Tab');
    await window.lineIs(LAST_LINE.at[0], `\t${whole}`);
    await window.edit('left-alone.go', LAST_LINE.text, LAST_LINE.at, { folder: window.other });
    await window.status(/exclude|left-alone/i);
    await window.press('Alt+\\');
    await window.noGhost();
    await window.go();
  },

  'a folder that is not trusted chooses neither server nor model': async (window) => {
    const fake = window.fake('chat');
    await window.settings({
      'security.workspace.trust.enabled': true,
      'security.workspace.trust.startupPrompt': 'never',
      'security.workspace.trust.banner': 'never',
    });
    const settings = { ...fake.settings, 'infill.model': '/somebody/elses', 'infill.singleLine': true };
    const folder = path.join(window.home, 'strange');
    const file = await window.edit('.vscode/settings.json', JSON.stringify(settings), [1, 1], { folder });
    await window.go(`folder=${encodeURIComponent(folder)}`);
    assert.equal(await window.probe((vscode) => vscode.workspace.isTrusted), false);
    const seen = await window.probe((vscode) => {
      const settings = vscode.workspace.getConfiguration('infill');
      return [settings.get('server.path'), settings.get('model'), settings.get('singleLine')];
    });
    assert.deepEqual(seen, [null, null, true], `of ${file} only what is harmless holds`);
    assert.deepEqual(fake.heard('initialize'), []);
    await window.go();
  },
};
