// The menu behind the item in the status bar: the state, and everything that can be done.

import { commands, type QuickPickItem, QuickPickItemKind, type TextDocument, window } from 'vscode';
import type { Status } from './protocol';
import type { Server } from './server';
import { isLanguageOn } from './settings';
import { lastAnswer, look, type View } from './status';

interface Entry extends QuickPickItem {
  command?: string;
  args?: unknown[];
}

/** Shows the menu and does what is chosen. */
export async function showMenu(server: Server, view: View, document: TextDocument | undefined): Promise<void> {
  const status = await server.client?.sendRequest<Status>('infill/status').catch(() => undefined);
  const { icon, words } = look(view);
  const entries: Entry[] = [
    {
      label: `$(${icon}) ${words}`,
      detail: [lastAnswer(view.said), usage(status)].filter(Boolean).join(' · '),
      command: 'infill.openLog',
    },
    separator('Suggestions'),
    ...switches(view, document),
    separator('Model'),
    { label: '$(chip) Choose a model…', description: status?.model ?? '', command: 'infill.chooseModel' },
    ...tasks(),
    separator('Server'),
    { label: '$(refresh) Restart the server', description: version(view), command: 'infill.restart' },
    { label: '$(output) Open the log', command: 'infill.openLog' },
    { label: '$(gear) Settings', command: 'workbench.action.openSettings', args: ['infill.'] },
    {
      label: '$(book) Keys and first steps',
      command: 'workbench.action.openWalkthrough',
      args: ['infill.infill#start', false],
    },
  ];
  const chosen = await window.showQuickPick(entries, { title: 'Infill' });
  if (chosen?.command) {
    await commands.executeCommand(chosen.command, ...(chosen.args ?? []));
  }
}

function switches(view: View, document: TextDocument | undefined): Entry[] {
  if (!view.isEnabled) {
    return [{ label: '$(play) Turn on', command: 'infill.enable' }];
  }
  const here: Entry[] = [];
  if (document) {
    const language = document.languageId;
    here.push(
      { label: '$(sparkle) Complete here', command: 'infill.completeHere' },
      { label: '$(question) Why this suggestion?', command: 'infill.showWhy' },
      {
        label: isLanguageOn(language) ? `$(circle-slash) Turn off for ${language}` : `$(play) Turn on for ${language}`,
        command: 'infill.toggleLanguage',
      },
      {
        label: view.isFileOff ? '$(play) Turn on for this file' : '$(circle-slash) Turn off for this file',
        command: 'infill.toggleFile',
      },
    );
  }
  return [...here, { label: '$(circle-slash) Turn off everywhere', command: 'infill.disable' }];
}

function tasks(): Entry[] {
  if (window.activeTextEditor?.selection.isEmpty !== false) {
    return [];
  }
  return [
    separator('Selection'),
    { label: '$(comment-discussion) Explain', command: 'infill.explain' },
    { label: '$(comment) Comment', command: 'infill.comment' },
    { label: '$(wrench) Fix', command: 'infill.fix' },
    { label: '$(beaker) Write tests', command: 'infill.tests' },
    { label: '$(globe) Translate to another language…', command: 'infill.translate' },
  ];
}

function separator(label: string): Entry {
  return { label, kind: QuickPickItemKind.Separator };
}

function usage(status: Status | undefined): string | undefined {
  const { shown, accepted } = status?.usage ?? { shown: 0, accepted: 0 };
  return shown > 0 ? `${accepted} of ${shown} suggestions accepted` : undefined;
}

function version({ phase }: View): string {
  return phase.at === 'running' ? `version ${phase.version}` : '';
}
