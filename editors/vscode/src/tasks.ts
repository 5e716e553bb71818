// Explain, comment, translate, fix, test: what a model can do with a selection.

import { randomUUID } from 'node:crypto';
import {
  type CancellationToken,
  commands,
  languages,
  type Progress,
  ProgressLocation,
  Range,
  type TextEditor,
  ViewColumn,
  WorkspaceEdit,
  window,
  workspace,
} from 'vscode';
import { ExecuteCommandRequest, ProgressType } from 'vscode-languageclient';
import type { LanguageClient } from 'vscode-languageclient/node';
import { isCode } from './client';
import type { Explanations } from './explanations';
import type { Originals } from './originals';
import type { Task, TaskDone, TaskKind } from './protocol';
import { complain, warn, wordsOf } from './say';
import type { Server } from './server';

const TITLES: Record<TaskKind, string> = {
  explain: 'Explaining',
  comment: 'Commenting',
  translate: 'Translating',
  fix: 'Fixing',
  tests: 'Writing tests',
};

/** The languages that a picker offers first. */
const COMMON = ['python', 'typescript', 'javascript', 'java', 'go', 'rust', 'cpp', 'c', 'csharp'];

/** Where answers are read. */
export interface Pages {
  explanations: Explanations;
  originals: Originals;
}

/** A selection in an editor, as it was when the user asked. */
interface Selected {
  editor: TextEditor;
  range: Range;
  text: string;
}

/** Does one task with the selection and shows what came of it. */
export async function doTask(kind: TaskKind, server: Server, pages: Pages): Promise<void> {
  const editor = window.activeTextEditor;
  const { client } = server;
  if (!client) {
    return warn("Infill's server does not run.", 'Show Status');
  }
  if (!editor || editor.selection.isEmpty || !isCode(editor.document)) {
    return warn('Select some code first.');
  }
  const range = new Range(editor.selection.start, editor.selection.end);
  const selected = { editor, range, text: editor.document.getText(range) };
  const to = kind === 'translate' ? await pickLanguage(editor.document.languageId) : undefined;
  if (kind === 'translate' && !to) {
    return;
  }
  const reader = kind === 'explain' ? pages.explanations.begin(selected.text, editor.document.languageId) : undefined;
  try {
    const done = await run(client, kind, selected, to, (piece) => reader?.(piece));
    if (done) {
      await show(kind, done, selected, pages);
    }
  } catch (error) {
    complain(wordsOf(error), 'Choose a Model');
  }
}

async function pickLanguage(from: string): Promise<string | undefined> {
  const known = (await languages.getLanguages()).filter((language) => language !== from);
  const first = COMMON.filter((language) => known.includes(language));
  const others = known.filter((language) => !COMMON.includes(language)).sort();
  return window.showQuickPick([...first, ...others], { title: 'Translate to…' });
}

/** Has the server write; gives each piece as it comes, and the whole. Nothing if the user cancels. */
async function run(
  client: LanguageClient,
  kind: TaskKind,
  { editor, range }: Selected,
  to: string | undefined,
  hear: (piece: string) => void,
): Promise<TaskDone | undefined> {
  const work = async (progress: Progress<{ message?: string }>, cancelled: CancellationToken) => {
    const partialResultToken = randomUUID();
    let lines = 1;
    const listening = client.onProgress(new ProgressType<{ text: string }>(), partialResultToken, ({ text }) => {
      lines += text.split('\n').length - 1;
      progress.report({ message: lines === 1 ? '1 line' : `${lines} lines` });
      hear(text);
    });
    const task: Task = {
      kind,
      textDocument: { uri: client.code2ProtocolConverter.asUri(editor.document.uri) },
      range: client.code2ProtocolConverter.asRange(range),
      partialResultToken,
      ...(to ? { to } : {}),
    };
    try {
      const params = { command: 'infill.task', arguments: [task] };
      return (await client.sendRequest(ExecuteCommandRequest.type, params, cancelled)) as TaskDone;
    } catch (error) {
      if (cancelled.isCancellationRequested) {
        return undefined;
      }
      throw error;
    } finally {
      listening.dispose();
    }
  };
  const options = { location: ProgressLocation.Notification, title: TITLES[kind], cancellable: true };
  return window.withProgress(options, work);
}

async function show(
  kind: TaskKind,
  done: TaskDone,
  selected: Selected,
  { explanations, originals }: Pages,
): Promise<void> {
  if (kind === 'explain') {
    explanations.finish(done.text);
  } else if (kind === 'comment' || kind === 'fix') {
    await apply(kind, done.text, selected, originals);
  } else {
    const document = await workspace.openTextDocument({ language: done.language, content: done.text });
    await window.showTextDocument(document, { viewColumn: ViewColumn.Beside });
  }
}

/** Puts the text in the selection's place, as one step to undo, and shows what changed side by side. */
async function apply(
  kind: TaskKind,
  text: string,
  { editor, range, text: before }: Selected,
  originals: Originals,
): Promise<void> {
  const { document } = editor;
  if (document.getText(range) !== before) {
    return warn('The selection has changed in the meantime, so nothing was put in its place.');
  }
  if (text === before) {
    return void window.showInformationMessage('The model would leave this as it is.');
  }
  const old = originals.keep(document);
  const edit = new WorkspaceEdit();
  edit.replace(document.uri, range, text);
  if (await workspace.applyEdit(edit)) {
    const name = document.uri.path.split('/').at(-1);
    await commands.executeCommand('vscode.diff', old, document.uri, `${name}: ${TITLES[kind]}`);
  }
}
