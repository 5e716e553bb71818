// "Why this suggestion?": the last question that was asked of a document and what became of it, as a page to read.

import { EventEmitter, type ExtensionContext, Uri, ViewColumn, window, workspace } from 'vscode';
import { focused } from './focus';
import type { Why } from './protocol';
import { complain, warn, wordsOf } from './say';
import type { Server } from './server';
import { pageOf } from './whypage';

const PAGE = Uri.from({ scheme: 'infill-why', path: '/Why this suggestion.md' });

export class WhyPage {
  private readonly changed = new EventEmitter<Uri>();
  private text = '';

  constructor(
    context: ExtensionContext,
    private readonly server: Server,
  ) {
    const provider = { onDidChange: this.changed.event, provideTextDocumentContent: () => this.text };
    context.subscriptions.push(workspace.registerTextDocumentContentProvider(PAGE.scheme, provider));
  }

  async show(): Promise<void> {
    const { client } = this.server;
    if (!client) {
      return warn("Infill's server does not run.", 'Show Status');
    }
    const document = focused();
    const about = document && { textDocument: { uri: client.code2ProtocolConverter.asUri(document.uri) } };
    try {
      this.text = pageOf(await client.sendRequest<Why | null>('infill/why', about ?? {}));
    } catch (error) {
      return complain(`The server does not say why: ${wordsOf(error)}`, 'Open the Log');
    }
    this.changed.fire(PAGE);
    await window.showTextDocument(await workspace.openTextDocument(PAGE), {
      viewColumn: ViewColumn.Beside,
      preserveFocus: true,
      preview: true,
    });
  }
}
