// The extension: puts its parts together and registers them with VS Code.

import { commands, type ExtensionContext, window, workspace } from 'vscode';
import { DidChangeConfigurationNotification } from 'vscode-languageclient';
import { Explanations } from './explanations';
import { Focus, focused } from './focus';
import { showMenu } from './menu';
import { chooseModel } from './models';
import { Originals } from './originals';
import type { TaskKind } from './protocol';
import { Server } from './server';
import { forServer, isEnabled } from './settings';
import type { View } from './status';
import { StatusBar } from './statusbar';
import { disable, enable, FilesOff, toggleFile, toggleLanguage } from './switches';
import { doTask } from './tasks';
import { WhyPage } from './why';

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel('Infill', { log: true });
  const filesOff = new FilesOff(context);
  const running = new Server(context, log, filesOff);
  server = running;
  const focus = new Focus(running);
  const why = new WhyPage(context, running);
  const pages = { explanations: new Explanations(context), originals: new Originals(context) };

  const view = (): View => {
    const document = focused();
    return {
      phase: running.phase,
      isEnabled: isEnabled(),
      said: focus.said,
      document: focus.document,
      isFileOff: document !== undefined && filesOff.holdsFor(document),
    };
  };
  const bar = new StatusBar(view);

  const on = (name: string, act: () => unknown) =>
    context.subscriptions.push(commands.registerCommand(`infill.${name}`, act));
  on('completeHere', () => commands.executeCommand('editor.action.inlineSuggest.trigger'));
  on('showStatus', () => showMenu(running, view(), focused()));
  on('enable', enable);
  on('disable', disable);
  on('toggleLanguage', toggleLanguage);
  on('toggleFile', () => toggleFile(filesOff));
  on('showWhy', () => why.show());
  on('chooseModel', () => chooseModel(running));
  on('restart', () => running.restart());
  on('openLog', () => log.show());
  for (const kind of ['explain', 'comment', 'translate', 'fix', 'tests'] satisfies TaskKind[]) {
    on(kind, () => doTask(kind, running, pages));
  }

  context.subscriptions.push(
    log,
    bar,
    focus,
    focus.onChange(() => bar.update()),
    filesOff.onChange(() => bar.update()),
    workspace.onDidGrantWorkspaceTrust(() => running.restart()),
    workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration('infill.enabled')) {
        await (isEnabled() ? running.start() : running.stop());
      } else if (change.affectsConfiguration('infill.server') && isEnabled()) {
        await running.restart();
      } else if (change.affectsConfiguration('infill')) {
        await running.client?.sendNotification(DidChangeConfigurationNotification.type, {
          settings: { infill: forServer() },
        });
        await focus.look();
      }
    }),
  );
  if (isEnabled()) {
    void running.start();
  }
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
