// The page beside the code on which an explanation is written as it comes.

import { EventEmitter, type ExtensionContext, Uri, ViewColumn, window, workspace } from 'vscode';

const PAGE = Uri.from({ scheme: 'infill-explanation', path: '/Explanation.md' });

export class Explanations {
  private readonly changed = new EventEmitter<Uri>();
  private head = '';
  private text = '';
  private isOpen = false;

  constructor(context: ExtensionContext) {
    const provider = {
      onDidChange: this.changed.event,
      provideTextDocumentContent: () => this.head + this.text,
    };
    context.subscriptions.push(workspace.registerTextDocumentContentProvider(PAGE.scheme, provider));
  }

  /** Begins a page about this code. Gives what takes the pieces; the page opens at the first one. */
  begin(code: string, language: string): (piece: string) => void {
    this.head = `\`\`\`\`${language}\n${code}\n\`\`\`\`\n\n`;
    this.text = '';
    this.isOpen = false;
    return (piece) => this.write(this.text + piece);
  }

  /** The whole explanation, which may have lost nothing on its way in pieces. */
  finish(text: string): void {
    this.write(text);
  }

  private write(text: string): void {
    this.text = text;
    this.changed.fire(PAGE);
    if (!this.isOpen) {
      this.isOpen = true;
      void this.open();
    }
  }

  private async open(): Promise<void> {
    const document = await workspace.openTextDocument(PAGE);
    await window.showTextDocument(document, { viewColumn: ViewColumn.Beside, preserveFocus: true });
  }
}
