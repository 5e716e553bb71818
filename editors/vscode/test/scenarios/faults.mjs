// Servers that crash, hang, load for long, do not fit or are not there.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';
import { LAST_LINE } from './sources.mjs';

export const faults = {
  'the server is killed in the middle: it comes back, and the user is told once': async (window) => {
    const file = await window.edit('killed.go', LAST_LINE.text, LAST_LINE.at);
    const whole = window.suggestion(file, LAST_LINE.at);
    for (let time = 1; time <= 2; time += 1) {
      const [server] = await window.servers();
      await window.type(whole[0]);
      process.kill(server, 'SIGKILL');
      await window.status(/crashed|starting/);
      await eventually('another server', async () => {
        const now = await window.servers();
        return now.length === 1 && now[0] !== server;
      });
      await window.status(/ready/);
      await window.press('Backspace');
      await window.lineIs(LAST_LINE.at[0], '\t');
      await window.press('Alt+\\');
      await window.ghostIs(whole);
      await window.press('Escape');
    }
    const told = (await window.everyMessage()).filter((message) => /crashed/.test(message));
    assert.equal(told.length, 1, `told once: ${told}`);
  },

  'a server that dies of a request is started again and again, with pauses': async (window) => {
    const fake = window.fake('crash');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('dies.txt', '\n');
    await window.type('a');
    await window.status(/again in 1 s/);
    await window.status(/ready/);
    await window.type('b');
    await window.status(/again in 2 s/);
    await window.type('cd');
    await window.lineIs(1, 'abcd');
    await window.command('infill.restart');
    await window.status(/fake is ready/);
    assert.equal(fake.heard('initialize').length, 3);
  },

  'a model that loads: per cent, and suggestions once it is there': async (window) => {
    const fake = window.fake('loading');
    await window.settings(fake.settings);
    await window.status(/Infill 40%.*loading/);
    await window.edit('loads.txt', '\n');
    await window.type('typing goes on');
    await window.lineIs(1, 'typing goes on');
    fake.go();
    await window.status(/fake is ready/);
    await window.press('Alt+\\');
    await window.ghostIs(' fake');
  },

  'the restart command brings a new server, even instead of a deaf one': async (window) => {
    const [before] = await window.servers();
    await window.command('infill.restart');
    await window.status(/ready/);
    const [after] = await window.servers();
    assert.notEqual(after, before);
    const deaf = window.fake('deaf');
    await window.settings(deaf.settings);
    await window.status(/starting/);
    await eventually('its greeting', () => deaf.heard('initialize').length === 1);
    const fake = window.fake('chat');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
  },

  'a server that is missing: what to do is said, and the status is one click from the log': async (window) => {
    await window.settings({ 'infill.server.path': '/nowhere/infill' });
    await window.status(/There is no \/nowhere\/infill.*cargo install --path server\/infill/);
    await window.message(/There is no \/nowhere\/infill/);
    await window.page.locator('.statusbar-item[id^="infill.infill"] a').click();
    await eventually('the log', () => window.page.locator('.part.panel', { hasText: 'nowhere' }).isVisible());
  },

  'a server that is too old': async (window) => {
    await window.settings(window.fake('old').settings);
    await window.status(/version 0\.0\.9, too old for this extension/);
    await window.message(/too old.*cargo install/);
  },

  'a server that cannot start is tried again with pauses': async (window) => {
    await window.settings(window.fake('dead').settings);
    await window.status(/again in 1 s/);
    await window.status(/again in 2 s/);
    await window.edit('dead.txt', '\n');
    await window.type('typed');
    await window.lineIs(1, 'typed');
    await window.command('infill.chooseModel');
    await window.message(/server does not run/);
  },
};
