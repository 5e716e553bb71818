// Which model: the built-in one, one of the store, one that is still to be got, or a file.

import { randomUUID } from 'node:crypto';
import { ProgressLocation, type QuickPickItem, QuickPickItemKind, window } from 'vscode';
import { ExecuteCommandRequest, WorkDoneProgress } from 'vscode-languageclient';
import type { LanguageClient } from 'vscode-languageclient/node';
import type { Models, Pulled } from './protocol';
import { complain, warn, wordsOf } from './say';
import type { Server } from './server';
import { write } from './settings';

interface Choice extends QuickPickItem {
  choose?: () => Promise<void>;
}

/** Lets the user choose a model. The choice is the setting `infill.model`, which the server acts on. */
export async function chooseModel(server: Server): Promise<void> {
  const { client } = server;
  if (!client) {
    return warn("Infill's server does not run.", 'Show Status');
  }
  try {
    const models = await execute<Models>(client, 'infill.listModels');
    const choice = await window.showQuickPick(choices(client, models), {
      title: 'Choose a Model',
      placeHolder: models.current ? `Now: ${models.current}` : 'No model is loaded',
      matchOnDetail: true,
    });
    await choice?.choose?.();
  } catch (error) {
    complain(wordsOf(error), 'Open the Log');
  }
}

function choices(client: LanguageClient, { current, models, known }: Models): Choice[] {
  const here = new Set(models.map(({ name }) => name));
  const absent = known.filter(({ name }) => !here.has(name));
  return [
    {
      label: 'The built-in model',
      description: 'small and quick, needs nothing',
      choose: () => write('model', undefined),
    },
    ...heading('On this machine', models),
    ...models.map(({ name, bytes, path }) => ({
      label: name,
      description: [size(bytes), name === current ? 'in use' : ''].filter(Boolean).join(', '),
      detail: path,
      choose: () => write('model', name),
    })),
    ...heading('To be downloaded', absent),
    ...absent.map((model) => ({
      label: `$(cloud-download) ${model.name}`,
      description: model.licence ? `licence: ${model.licence}` : 'its licence comes with it',
      detail: model.repository,
      choose: () => pull(client, model),
    })),
    { label: '', kind: QuickPickItemKind.Separator },
    { label: '$(file) A file…', description: 'a GGUF file', choose: () => chooseFile(false) },
    { label: '$(folder) A folder…', description: 'a model as its makers publish it', choose: () => chooseFile(true) },
  ];
}

function heading(label: string, list: unknown[]): Choice[] {
  return list.length > 0 ? [{ label, kind: QuickPickItemKind.Separator }] : [];
}

async function chooseFile(folder: boolean): Promise<void> {
  const found = await window.showOpenDialog({
    title: folder ? 'A Folder with a Model' : 'A GGUF File',
    openLabel: 'Use This Model',
    canSelectFiles: !folder,
    canSelectFolders: folder,
    ...(folder ? {} : { filters: { GGUF: ['gguf'] } }),
  });
  if (found?.[0]) {
    await write('model', found[0].fsPath);
  }
}

/** Downloads a model, if the user agrees to that and to its licence, and offers to use it. */
async function pull(client: LanguageClient, model: Models['known'][number]): Promise<void> {
  const agreed = await window.showInformationMessage(
    `Download ${model.name}?`,
    { modal: true, detail: `From ${model.repository}.\n${licenceIs(model.licence)}` },
    'Download',
  );
  if (!agreed) {
    return;
  }
  const pulled = await window.withProgress(
    { location: ProgressLocation.Notification, title: `Downloading ${model.name}`, cancellable: true },
    async (progress, cancelled) => {
      const workDoneToken = randomUUID();
      let done = 0;
      const listening = client.onProgress(WorkDoneProgress.type, workDoneToken, (step) => {
        if (step.kind !== 'end') {
          const percent = step.percentage ?? done;
          progress.report({ increment: percent - done, ...(step.message ? { message: step.message } : {}) });
          done = percent;
        }
      });
      try {
        const params = { command: 'infill.pullModel', arguments: [model.name], workDoneToken };
        return (await client.sendRequest(ExecuteCommandRequest.type, params, cancelled)) as Pulled;
      } catch (error) {
        if (cancelled.isCancellationRequested) {
          return undefined;
        }
        throw error;
      } finally {
        listening.dispose();
      }
    },
  );
  if (pulled && (await offer(pulled))) {
    await write('model', pulled.name);
  }
}

async function offer({ name, licence, notice }: Pulled): Promise<boolean> {
  const words = `${name} is here. ${licenceIs(licence)}${notice ? ` ${notice}` : ''}`;
  return (await window.showInformationMessage(words, 'Use It Now')) !== undefined;
}

function licenceIs(licence: string | null): string {
  return licence ? `Its licence is ${licence}.` : 'Its licence is among its files, and is shown when they are here.';
}

/** Runs one of the server's commands. */
export async function execute<Result>(client: LanguageClient, command: string, ...args: unknown[]): Promise<Result> {
  return (await client.sendRequest(ExecuteCommandRequest.type, { command, arguments: args })) as Result;
}

function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`;
}
