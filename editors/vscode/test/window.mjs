// A real VS Code in a real browser: code-server with our .vsix, and a page of Chromium that types into it.
//
// Takes the folder of `tests/setup/vscode.sh` and the .vsix of `npm run package`. Gives `Window`: keys go in as keys;
// what comes out is read from the screen, from the documents (through the probe, an extension of the tests' own) and
// from files.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createVSIX } from '@vscode/vsce';
import { chromium } from 'playwright-core';
import { LAST_LINE } from './scenarios/sources.mjs';

/** Longest wait for one thing, in ms; a machine that compiles beside the tests is slow. */
const PATIENCE = 45_000;

/** The same for the first window of all, in ms: nothing of it is in any cache yet. */
const FIRST = 90_000;

/** VS Code pops up three messages in as many ms; a fourth goes to its list alone, where no scenario looks for it. */
const CROWDED = 800;

export const root = fileURLToPath(new URL('..', import.meta.url));
const repository = path.join(root, '../..');

/** Settings without which VS Code talks in between. */
const QUIET = {
  'chat.disableAIFeatures': true,
  'editor.minimap.enabled': false,
  // Words of the text pop up where they will, and hide what does not begin with them: in scenarios of their own.
  'editor.quickSuggestions': false,
  'extensions.ignoreRecommendations': true,
  'files.autoSave': 'off',
  'git.enabled': false,
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'window.newWindowDimensions': 'default',
  'workbench.colorTheme': 'Default Dark Modern',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
};

export class Window {
  /** Starts code-server with the extension and opens a folder in it. */
  static async open() {
    const window = new Window();
    try {
      await window.install();
      await window.serve();
      await window.browse();
      await window.warmUp();
      return window;
    } catch (error) {
      await window.close();
      throw error;
    }
  }

  constructor() {
    this.home = mkdtempSync(path.join(os.tmpdir(), 'infill-vscode-'));
    // When a message was last seen.
    this.told = 0;
    this.folder = path.join(this.home, 'work');
    this.other = path.join(this.home, 'other');
    this.probeFile = path.join(this.home, 'probe.json');
    this.user = path.join(this.home, 'user');
    this.extensions = path.join(this.home, 'extensions');
    for (const folder of [this.folder, this.other, path.join(this.user, 'User')]) {
      mkdirSync(folder, { recursive: true });
    }
    writeFileSync(path.join(this.user, 'User/settings.json'), JSON.stringify(QUIET));
    this.codeServer = path.join(
      execFileSync(path.join(repository, 'tests/setup/vscode.sh'), { encoding: 'utf8' }).trim(),
      'code-server',
    );
  }

  async install() {
    const ours = path.join(root, `infill-${process.platform}-${process.arch}.vsix`);
    assert.ok(existsSync(ours), `${ours} is missing: build the server, then run \`npm run package\``);
    const probe = path.join(this.home, 'probe.vsix');
    await createVSIX({
      cwd: path.join(root, 'test/probe'),
      packagePath: probe,
      dependencies: false,
      allowMissingRepository: true,
      allowStarActivation: true,
      skipLicense: true,
    });
    const extensions = [ours, probe].flatMap((file) => ['--install-extension', file]);
    await promisify(execFile)(this.codeServer, [...this.folders(), ...extensions]);
  }

  async serve() {
    this.port = await freePort();
    const flags = ['--auth', 'none', '--bind-addr', `127.0.0.1:${this.port}`];
    const quiet = ['--disable-telemetry', '--disable-update-check'];
    // The servers that the tests start must not find models or settings of whoever runs them.
    const env = { ...process.env, INFILL_PROBE: this.probeFile, INFILL_HOME: path.join(this.home, 'models') };
    this.server = spawn(this.codeServer, [...flags, ...quiet, ...this.folders()], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.said = '';
    this.server.stdout.on('data', (data) => (this.said += data));
    this.server.stderr.on('data', (data) => (this.said += data));
    await eventually(
      'code-server',
      async () => (await fetch(`http://127.0.0.1:${this.port}/healthz`)).ok,
      Boolean,
      FIRST,
    );
  }

  folders() {
    return ['--user-data-dir', this.user, '--extensions-dir', this.extensions];
  }

  async browse() {
    this.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'].concat(
        '--disable-background-networking',
        '--disable-component-update',
      ),
    });
    this.page = await this.browser.newPage({ viewport: { width: 1100, height: 700 } });
    await this.page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.folder)}`);
    await this.ready();
  }

  /** VS Code makes what asks for ghost text only when it is idle for the first time: a key before that asks nobody. */
  async warmUp() {
    const { text, at } = LAST_LINE;
    const file = await this.edit('first.go', text, at);
    await this.ask(this.suggestion(file, at));
    await this.tidy();
  }

  /** Opens something else in the page, the folder if nothing is said: a new extension host. */
  async go(what = `folder=${encodeURIComponent(this.folder)}`) {
    const { pid } = this.probeAddress();
    await this.page.goto(`http://127.0.0.1:${this.port}/?${what}`);
    await eventually('a new extension host', () => this.probeAddress().pid !== pid, Boolean, FIRST);
    await this.ready();
  }

  async ready() {
    await eventually('the probe', () => this.probe((vscode) => vscode.version), Boolean, FIRST);
    await this.status(/ready/);
  }

  async close() {
    await this.browser?.close();
    if (this.server && this.server.exitCode === null) {
      const ended = once(this.server, 'exit');
      // Its extension hosts are in its process group.
      process.kill(-this.server.pid, 'SIGKILL');
      await ended;
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  probeAddress() {
    return JSON.parse(readFileSync(this.probeFile, 'utf8'));
  }

  /** Runs a function in the extension host; it gets `vscode` and these arguments. */
  async probe(run, ...args) {
    const response = await fetch(`http://127.0.0.1:${this.probeAddress().port}`, {
      signal: AbortSignal.timeout(2 * PATIENCE),
      method: 'POST',
      body: JSON.stringify({ source: run.toString(), args }),
    });
    const { result, error } = await response.json();
    assert.ok(!error, error);
    return result;
  }

  /** Writes a file and opens it with the cursor at a place; lines and columns count from 1. */
  async edit(name, text, [line, column] = [1, 1], { folder = this.folder } = {}) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    await this.probe(
      async (vscode, file, line, column) => {
        const document = await vscode.workspace.openTextDocument(file);
        const at = new vscode.Position(line - 1, column - 1);
        await vscode.window.showTextDocument(document, { selection: new vscode.Range(at, at), preview: false });
      },
      file,
      line,
      column,
    );
    await this.focus();
    return file;
  }

  /** Waits until keys go into the text. */
  async focus() {
    await this.page.bringToFront();
    await this.command('workbench.action.focusActiveEditorGroup');
    await eventually('the focus on the text', () =>
      this.page.evaluate(() => !!document.activeElement?.closest('.monaco-editor')),
    );
  }

  /** Puts away what a scenario left: editors without saving, menus, messages, settings. */
  async tidy() {
    await this.page.keyboard.press('Escape');
    await this.probe(async (vscode) => {
      await vscode.commands.executeCommand('notifications.clearAll');
      await vscode.commands.executeCommand('workbench.action.closePanel');
      for (const group of vscode.window.tabGroups.all.flatMap((group) => group.tabs)) {
        const document = vscode.workspace.textDocuments.find(
          ({ uri }) => uri.toString() === group.input?.uri?.toString(),
        );
        if (document?.isDirty) {
          await vscode.window.showTextDocument(document);
          await vscode.commands.executeCommand('workbench.action.revertAndCloseActiveEditor');
        }
      }
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    });
    await this.forget();
    await this.settings({});
    // The real one: a fake that is about to end is ready, too.
    await this.status(/Infill: (?!fake).* is ready/);
    // Room for the next scenario's messages.
    await sleep(Math.max(0, this.told + CROWDED - Date.now()));
  }

  /** Takes back the settings that the extension's own commands have written. */
  forget() {
    return this.probe(async (vscode) => {
      const settings = vscode.workspace.getConfiguration('infill');
      for (const key of ['enabled', 'languages', 'model']) {
        if (settings.inspect(key).globalValue !== undefined) {
          await settings.update(key, undefined, true);
        }
      }
    });
  }

  /** Makes these the settings beyond those that keep VS Code quiet; all others fall back. */
  async settings(settings) {
    const changes = { ...this.changed, ...settings };
    this.changed = Object.fromEntries(Object.keys(settings).map((key) => [key, QUIET[key] ?? null]));
    await this.probe(async (vscode, changes) => {
      for (const [key, value] of Object.entries(changes)) {
        await vscode.workspace.getConfiguration().update(key, value ?? undefined, true);
      }
    }, changes);
  }

  command(name, ...args) {
    return this.probe(
      (vscode, name, args) => vscode.commands.executeCommand(name, ...args).then(() => null),
      name,
      args,
    );
  }

  type(text, { delay = 30 } = {}) {
    return this.page.keyboard.type(text, { delay });
  }

  /** Types an opening bracket once VS Code knows that the language closes it; the line is this then. */
  async openBracket(number, line) {
    await eventually(`line ${line}`, async () => {
      await this.type('(');
      await sleep(100);
      const now = await this.line(number);
      return now === line || (await this.press('Backspace'));
    });
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  /** The ghost text on the screen, its lines joined; empty if there is none. */
  ghost() {
    return this.page.evaluate(() => {
      const all = [...document.querySelectorAll('[class*=ghost-text]')];
      const outer = all.filter((element) => !element.parentElement.closest('[class*=ghost-text]'));
      const placed = outer.map((element) => ({
        text: element.textContent,
        ...element.getBoundingClientRect().toJSON(),
      }));
      placed.sort((a, b) => a.top - b.top || a.left - b.left);
      return placed.map(({ text }) => text.replaceAll('\u00a0', ' ')).join('');
    });
  }

  /** Waits for ghost text that is this, or passes this test; gives it. */
  ghostIs(expected = Boolean) {
    const passes = typeof expected === 'string' ? (ghost) => ghost === expected : expected;
    const what = `ghost text ${typeof expected === 'string' ? JSON.stringify(expected) : 'that passes'}`;
    return eventually(what, () => this.ghost(), passes);
  }

  /** Asks by the key until this ghost text is there, in a window that has just opened. */
  ask(expected) {
    return eventually(
      `ghost text ${JSON.stringify(expected)}`,
      async () => {
        await this.press('Alt+\\');
        await sleep(500);
        return this.ghost();
      },
      (ghost) => ghost === expected,
    );
  }

  /** Looks for a while whether there stays no ghost text. */
  async noGhost(ms = 600) {
    for (const until = Date.now() + ms; Date.now() < until; await sleep(50)) {
      assert.equal(await this.ghost(), '', 'ghost text where there should be none');
    }
  }

  /** The text of the document in focus. */
  text() {
    return this.probe((vscode) => vscode.window.activeTextEditor?.document.getText());
  }

  textIs(expected) {
    return eventually(
      `text ${JSON.stringify(expected)}`,
      () => this.text(),
      (text) => text === expected,
    );
  }

  /** Line of the document in focus, from 1. */
  line(number) {
    return this.probe((vscode, line) => vscode.window.activeTextEditor.document.lineAt(line - 1).text, number);
  }

  lineIs(number, expected) {
    const what = `line ${number} ${JSON.stringify(expected)}`;
    return eventually(
      what,
      () => this.line(number),
      (line) => line === expected,
    );
  }

  /** The item in the status bar: its text and its words for screen readers. */
  statusNow() {
    return this.page.evaluate(() => {
      const item = document.querySelector('.statusbar-item[id^="infill.infill"]');
      const link = item?.querySelector('a');
      return item
        ? `${item.textContent.trim()} | ${link?.getAttribute('aria-label') ?? item.getAttribute('aria-label')}`
        : '';
    });
  }

  /** Waits until the item in the status bar says this. */
  status(pattern) {
    return eventually(
      `status ${pattern}`,
      () => this.statusNow(),
      (status) => pattern.test(status),
    );
  }

  /** The messages that pop up. */
  async messages() {
    const messages = await this.page.evaluate(() =>
      [...document.querySelectorAll('.notification-toast .notification-list-item-message')].map(
        (node) => node.textContent,
      ),
    );
    if (messages.length > 0) {
      this.told = Date.now();
    }
    return messages;
  }

  /** All messages since the last scenario, those that have gone by themselves among them. */
  async everyMessage() {
    await this.command('notifications.showList');
    const list = this.page.locator('.notifications-center .notification-list-item-message');
    const messages = await list.allInnerTexts();
    await this.command('notifications.hideList');
    return messages;
  }

  /** Waits for a message. */
  message(pattern) {
    const passes = (messages) => messages.some((message) => pattern.test(message));
    return eventually(`message ${pattern}`, () => this.messages(), passes);
  }

  /** A file of the workspace as it is on the disk. */
  file(name) {
    return readFileSync(path.join(this.folder, name), 'utf8');
  }

  /** What the server would suggest at a place of a file, as its command line says. */
  suggestion(file, [line, column]) {
    const [ours] = readdirSync(this.extensions).filter((name) => name.startsWith('infill.infill-'));
    const binary = path.join(this.extensions, ours, 'bin/infill');
    return execFileSync(binary, ['complete', file, '--at', `${line}:${column}`], { encoding: 'utf8' }).slice(0, -1);
  }

  /** A server that behaves as this mode of `fake.mjs` says: its path, and what it has been told so far. */
  fake(mode) {
    const folder = mkdtempSync(path.join(this.home, `${mode}-`));
    const [server, record] = [path.join(folder, 'infill'), path.join(folder, 'record')];
    const command = [process.execPath, path.join(root, 'test/fake.mjs'), mode, record].map((word) => `'${word}'`);
    writeFileSync(server, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`, { mode: 0o755 });
    writeFileSync(record, '');
    return {
      settings: { 'infill.server.path': server },
      /** The parameters of all messages of a kind. */
      heard: (method) =>
        readFileSync(record, 'utf8')
          .split('\n')
          // What stands behind the last line's end is still being written.
          .slice(0, -1)
          .map((line) => JSON.parse(line))
          .filter((message) => message.method === method)
          .map(({ params }) => params),
      /** Lets it go on with what it waits for. */
      go: () => writeFileSync(`${record}.go`, ''),
    };
  }

  /** The servers that run. */
  servers() {
    return this.probe((_vscode) => {
      const { execFileSync } = require('node:child_process');
      const children = execFileSync('ps', ['--ppid', String(process.pid), '-o', 'pid=,args='], { encoding: 'utf8' });
      return children
        .split('\n')
        .filter((line) => / lsp$/.test(line))
        .map((line) => Number.parseInt(line, 10));
    });
  }
}

/** Reads something until it passes, and gives it; what reading throws counts as not yet. */
export async function eventually(what, read, passes = Boolean, patience = PATIENCE) {
  let last;
  for (const until = Date.now() + patience; Date.now() < until; await sleep(40)) {
    try {
      last = await read();
      if (passes(last)) {
        return last;
      }
    } catch (error) {
      last = error.message;
    }
  }
  assert.fail(`no ${what} within ${patience / 1000} s; there is ${JSON.stringify(last)}`);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
