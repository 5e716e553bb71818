// What the server says beyond LSP 3.18, as `editors/PROTOCOL.md` has it.

import type { Range, TextDocumentIdentifier } from 'vscode-languageclient';

/** What `didChangeStatus` tells: the state of the model, and of the document in focus. */
export interface StatusChange {
  kind: 'Normal' | 'Inactive' | 'Warning' | 'Error';
  busy: boolean;
  message: string;
  infill: {
    state: 'loading' | 'ready' | 'off' | 'failed';
    model: string | null;
    percent: number | null;
    uri: string | null;
    why: string | null;
    ms: number | null;
  };
}

/** What `infill/status` answers, as far as it is shown here. */
export interface Status {
  state: string;
  model: string | null;
  message: string | null;
  version?: string;
  tasks?: string[];
  usage?: { shown: number; accepted: number; kept: number; characters: number };
  document?: DocumentStatus;
}

/** Whether there are suggestions in one document, and why not. */
export interface DocumentStatus {
  active: boolean;
  language: string;
  why: string | null;
}

/** What `infill/why` answers: the last question asked of a document, and what became of it. */
export interface Why {
  uri: string;
  /** Missing if nothing could be asked at all. */
  position?: { line: number; character: number };
  trigger?: string;
  prompt: string | null;
  answer: string | null;
  decision: string;
  shown: string | null;
  record: Record<string, unknown> | null;
}

/** What `infill.listModels` answers. */
export interface Models {
  current: string | null;
  models: { name: string; bytes: number; path: string }[];
  /** Where no licence is named, it comes with the files. */
  known: { name: string; repository: string; licence: string | null }[];
}

/** What `infill.pullModel` answers. */
export interface Pulled {
  name: string;
  licence: string | null;
  notice: string | null;
}

export type TaskKind = 'explain' | 'comment' | 'translate' | 'fix' | 'tests';

/** The one argument of `infill.task`. */
export interface Task {
  kind: TaskKind;
  textDocument: TextDocumentIdentifier;
  range: Range;
  /** The language id to translate to. */
  to?: string;
  partialResultToken: string;
}

/** What `infill.task` answers. */
export interface TaskDone {
  text: string;
  language: string;
}
