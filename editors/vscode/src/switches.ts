// On and off: for everything, for a language, for one file.

import { EventEmitter, type ExtensionContext, type TextDocument } from 'vscode';
import type { Silence } from './client';
import { focused } from './focus';
import { warn } from './say';
import { isLanguageOn, write, writeLanguage } from './settings';

/** Where the files that are off are remembered, for the workspace. */
const KEY = 'filesOff';

/** The files that the user turned off. A setting would be in everybody's way; this is one person's affair. */
export class FilesOff implements Silence {
  private readonly changed = new EventEmitter<void>();

  readonly onChange = this.changed.event;

  constructor(private readonly context: ExtensionContext) {}

  holdsFor(document: TextDocument): boolean {
    return this.context.workspaceState.get<string[]>(KEY, []).includes(keyOf(document));
  }

  async toggle(document: TextDocument): Promise<void> {
    const files = new Set(this.context.workspaceState.get<string[]>(KEY, []));
    if (!files.delete(keyOf(document))) {
      files.add(keyOf(document));
    }
    await this.context.workspaceState.update(KEY, [...files]);
    this.changed.fire();
  }
}

/** All cells of a notebook are one file. */
function keyOf(document: TextDocument): string {
  return document.uri.with({ scheme: 'file', fragment: '' }).toString();
}

export const enable = () => write('enabled', true);
export const disable = () => write('enabled', false);

/** Turns the language of the document in focus on or off. */
export async function toggleLanguage(): Promise<void> {
  const document = focused();
  if (!document) {
    return warn('Open a file of the language first.');
  }
  await writeLanguage(document.languageId, !isLanguageOn(document.languageId));
}

/** Turns the file in focus on or off. */
export async function toggleFile(files: FilesOff): Promise<void> {
  const document = focused();
  if (!document) {
    return warn('Open the file first.');
  }
  await files.toggle(document);
}
