// What Infill says of itself, and what turns it off.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';
import { LAST_LINE } from './sources.mjs';

const MENU = '.quick-input-widget';

/** Waits for a menu and clicks on its entry that has these words. */
export async function choose(window, words) {
  const entry = window.page.locator(`${MENU} .monaco-list-row`, { hasText: words }).first();
  await entry.click({ timeout: 10_000 });
}

export const status = {
  'the item in the status bar opens a menu with everything': async (window) => {
    await window.edit('menu.go', LAST_LINE.text, LAST_LINE.at);
    await window.page.locator('.statusbar-item[id^="infill.infill"] a').click();
    const entries = await eventually(
      'the menu',
      () => window.page.locator(`${MENU} .monaco-list-row`).allInnerTexts(),
      (entries) => entries.length > 5,
    );
    for (const words of [/ready/, /Complete here/, /Why this/, /Turn off for go/, /this file/, /everywhere/, /model/]) {
      assert.ok(
        entries.some((entry) => words.test(entry)),
        `${words} is in the menu: ${entries}`,
      );
    }
    await window.press('Escape');
  },

  'off for a language, and on again': async (window) => {
    const file = await window.edit('language.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.command('infill.toggleLanguage');
    await window.status(/off|language/i);
    await window.type(whole[0]);
    await window.noGhost();
    await window.edit('language.py', 'def f(x):\n    ', [2, 5]);
    await window.status(/ready/);
    await window.edit('language2.go', LAST_LINE.text, LAST_LINE.at);
    await window.command('infill.toggleLanguage');
    await window.status(/ready/);
    await window.type(whole[0]);
    await window.ghostIs(whole.slice(1));
  },

  'off for one file, and on again': async (window) => {
    const file = await window.edit('one.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.command('infill.toggleFile');
    await window.status(/off for this file/i);
    await window.type(whole[0]);
    await window.noGhost();
    await window.edit('another.go', LAST_LINE.text, LAST_LINE.at);
    await window.status(/ready/);
    await window.type(whole[0]);
    await window.ghostIs(whole.slice(1));
    await window.edit('one.go', LAST_LINE.text, LAST_LINE.at);
    await window.command('infill.toggleFile');
    await window.status(/ready/);
  },

  'disabled, the server is gone; enabled, it is back': async (window) => {
    const file = await window.edit('disabled.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.command('infill.disable');
    await window.status(/Infill is off/);
    await eventually('no server', async () => (await window.servers()).length === 0);
    await window.type(whole[0]);
    await window.noGhost();
    await window.command('infill.enable');
    await window.status(/ready/);
    await window.press('Alt+\\');
    await window.ghostIs(whole.slice(1));
  },

  'a file with secrets is left alone, and the status says why': async (window) => {
    await window.edit('.env', 'TOKEN=abc\nreturn \n', [2, 8]);
    await window.status(/secret|excluded|left alone|\.env/i);
    await window.press('Alt+\\');
    await window.noGhost();
    await window.edit('after.go', LAST_LINE.text, LAST_LINE.at);
    await window.status(/ready/);
  },

  'a file that the settings exclude is left alone': async (window) => {
    await window.settings({ 'infill.exclude': ['private/'] });
    await window.edit('private/mine.go', LAST_LINE.text, LAST_LINE.at);
    await window.status(/exclude|private/i);
    await window.press('Alt+\\');
    await window.noGhost();
  },

  'by hand alone, if the settings say so': async (window) => {
    await window.settings({ 'infill.automatic': false });
    const file = await window.edit('manual.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.type(whole[0]);
    await window.noGhost();
    await window.press('Alt+\\');
    await window.ghostIs(whole.slice(1));
  },

  'settings reach the server as they change': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    const { initializationOptions } = fake.heard('initialize')[0];
    assert.equal(initializationOptions.infill.delay, null);
    assert.equal(initializationOptions.infill.status, true);
    assert.equal(initializationOptions.infill.trusted, true);
    await window.settings({ ...fake.settings, 'infill.delay': 250, 'infill.singleLine': true, 'infill.threads': 1 });
    const changed = await eventually('the changed settings', () =>
      fake
        .heard('workspace/didChangeConfiguration')
        .map(({ settings }) => settings.infill)
        .find(({ delay, singleLine, threads }) => delay === 250 && singleLine && threads === 1),
    );
    assert.deepEqual(changed.languages, { '*': true });
    await window.settings(fake.settings);
    await eventually('the defaults', () => {
      const last = fake.heard('workspace/didChangeConfiguration').at(-1).settings.infill;
      return last.delay === null && last.singleLine === false;
    });
  },

  'the server is told which document is looked at': async (window) => {
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('looked.txt', 'a\n');
    await eventually('the focus', () =>
      fake.heard('textDocument/didFocus').at(-1)?.textDocument.uri.endsWith('/looked.txt'),
    );
    await window.edit('at.txt', 'a\n');
    await eventually('the other focus', () =>
      fake.heard('textDocument/didFocus').at(-1)?.textDocument.uri.endsWith('/at.txt'),
    );
  },

  'why: a page with the prompt, the answer, the decision and the times': async (window) => {
    const file = await window.edit('why.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    await window.press('Alt+\\');
    await window.ghostIs(whole);
    await window.command('infill.showWhy');
    const page = await eventually('the page', () =>
      window.probe((vscode) =>
        vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === 'infill-why')?.getText(),
      ),
    );
    assert.match(page, /decision: shown/);
    assert.match(page, /why\.go, line 46, column 2/);
    assert.match(page, /func \(s \*Store\) Save/, 'the prompt has the text around');
    assert.ok(page.includes(whole), 'the page has what was shown');
    assert.match(page, /\| total \| [\d.]+ \|/);
  },

  'the log opens': async (window) => {
    await window.command('infill.openLog');
    await eventually('the log', () => window.page.locator('.part.panel', { hasText: 'Starting' }).isVisible());
  },
};
