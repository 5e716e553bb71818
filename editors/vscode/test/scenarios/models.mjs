// Choosing a model, and what a model does with a selection.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';
import { choose } from './status.mjs';

const ADD = 'def add(a, b):\n    return a - b\n';

/** Opens a Python function, selected as a whole, with a server that can do every task. */
async function select(window, name) {
  const fake = window.fake('chat');
  await window.settings(fake.settings);
  await window.status(/fake is ready/);
  await window.edit(name, ADD);
  await window.press('Shift+ArrowDown', 'Shift+End');
  await eventually('the selection', () =>
    window.probe((vscode) => {
      const { document, selection } = vscode.window.activeTextEditor;
      return document.getText(selection) === 'def add(a, b):\n    return a - b';
    }),
  );
  return fake;
}

const page = (window, scheme) =>
  window.probe(
    (vscode, scheme) => vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === scheme)?.getText(),
    scheme,
  );

/** The text and the language of the document in focus, if it was never saved. */
const untitled = (window) =>
  window.probe((vscode) => {
    const document = vscode.window.activeTextEditor?.document;
    return document?.isUntitled ? [document.languageId, document.getText()] : null;
  });

export const models = {
  'the list of models: the choice is a setting, which the server gets': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    void window.command('infill.chooseModel');
    await choose(window, 'small-one');
    await eventually('the model in the settings', () =>
      fake.heard('workspace/didChangeConfiguration').some(({ settings }) => settings.infill.model === 'small-one'),
    );
    void window.command('infill.chooseModel');
    await choose(window, 'The built-in model');
    await eventually(
      'none in the settings',
      () => fake.heard('workspace/didChangeConfiguration').at(-1).settings.infill.model === null,
    );
  },

  'a model is downloaded after its licence was shown, with progress': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    void window.command('infill.chooseModel');
    await choose(window, 'large-one');
    const dialog = window.page.locator('.monaco-dialog-box');
    await eventually('the question', async () => /Apache-2\.0/.test(await dialog.innerText()));
    assert.equal(fake.heard('workspace/executeCommand').filter(({ command }) => /pull/.test(command)).length, 0);
    await dialog.getByRole('button', { name: 'Download' }).click();
    await window.message(/Downloading large-one.*33 of 100 MB/);
    fake.go();
    await window.message(/large-one is here. Its licence is Apache-2.0/);
    await window.page.getByRole('button', { name: 'Use It Now' }).click();
    await eventually('the model in the settings', () =>
      fake.heard('workspace/didChangeConfiguration').some(({ settings }) => settings.infill.model === 'large-one'),
    );
  },

  'a download is cancelled': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    void window.command('infill.chooseModel');
    await choose(window, 'large-one');
    await window.page.locator('.monaco-dialog-box').getByRole('button', { name: 'Download' }).click();
    await window.message(/Downloading/);
    await window.page.locator('.notification-toast').getByRole('button', { name: 'Cancel' }).click();
    await eventually('the end of the download', () => fake.heard('cancelled').length === 1);
    await eventually('no message', async () => (await window.messages()).length === 0);
  },

  'the built-in model says what it lacks for a task': async (window) => {
    await window.edit('lacks.py', ADD);
    await window.press('Control+a');
    await eventually('the selection', () =>
      window.probe((vscode) => !vscode.window.activeTextEditor.selection.isEmpty),
    );
    void window.command('infill.explain');
    await eventually('a choice of another model', () =>
      window.page.locator('.notification-toast').getByRole('button', { name: 'Choose a Model' }).isVisible(),
    );
    assert.match((await window.messages()).join(), /model/i);
  },

  'nothing is selected: said so': async (window) => {
    await window.edit('unselected.py', ADD);
    void window.command('infill.fix');
    await window.message(/Select some code first/);
  },

  'an explanation is written beside the code as it comes': async (window) => {
    const fake = await select(window, 'explain.py');
    void window.command('infill.explain');
    await eventually('the whole', async () =>
      (await page(window, 'infill-explanation'))?.endsWith('It adds two numbers.'),
    );
    assert.match(await page(window, 'infill-explanation'), /^````python\ndef add/);
    const [task] = fake.heard('workspace/executeCommand').find(({ command }) => command === 'infill.task').arguments;
    assert.equal(task.kind, 'explain');
    assert.deepEqual(task.range, { start: { line: 0, character: 0 }, end: { line: 1, character: 16 } });
  },

  'a fix is shown beside what was there, and can be undone': async (window) => {
    await select(window, 'fix.py');
    await window.command('infill.fix');
    await window.textIs('def add(a, b):\n    return a + b\n');
    assert.equal(await page(window, 'infill-original'), ADD);
    const compared = () =>
      window.probe((vscode) => {
        const { input } = vscode.window.tabGroups.activeTabGroup.activeTab;
        return input instanceof vscode.TabInputTextDiff && input.original.scheme === 'infill-original';
      });
    await eventually('the comparison', compared);
    await window.focus();
    await window.press('Control+z');
    await window.textIs(ADD);
  },

  'a translation opens as a new file of its language': async (window) => {
    const fake = await select(window, 'translate.py');
    void window.command('infill.translate');
    await choose(window, 'javascript');
    assert.deepEqual(await eventually('the new file', () => untitled(window)), [
      'javascript',
      'function add(a, b) {\n  return a + b;\n}\n',
    ]);
    const [task] = fake.heard('workspace/executeCommand').find(({ command }) => command === 'infill.task').arguments;
    assert.deepEqual([task.kind, task.to], ['translate', 'javascript']);
  },

  'tests open as a new file': async (window) => {
    await select(window, 'tests.py');
    void window.command('infill.tests');
    assert.deepEqual(await eventually('the new file', () => untitled(window)), [
      'python',
      'def test_add():\n    assert add(1, 2) == 3\n',
    ]);
  },
};
