// The document in focus, and what the server says of it.

import { Disposable, EventEmitter, type TextDocument, window } from 'vscode';
import { isCode, sameDocument } from './client';
import type { DocumentStatus, Status, StatusChange } from './protocol';
import { wordsOf } from './say';
import type { Server } from './server';

export class Focus {
  private readonly changed = new EventEmitter<void>();
  private readonly listening: Disposable;

  /** What the server said last of itself. */
  said: StatusChange | undefined;

  /** What it said of the document in focus. */
  document: DocumentStatus | undefined;

  /** Fires when one of them changes. */
  readonly onChange = this.changed.event;

  constructor(private readonly server: Server) {
    this.listening = Disposable.from(
      server.onClient((client) => {
        client.onNotification('didChangeStatus', (said: StatusChange) => this.hear(said));
      }),
      server.onPhase((phase) => {
        if (phase.at === 'running') {
          void this.look();
        } else {
          this.said = undefined;
          this.document = undefined;
        }
        this.changed.fire();
      }),
      window.onDidChangeActiveTextEditor(() => this.look()),
    );
  }

  /** Tells the server what is looked at, and asks what it does there. */
  async look(): Promise<void> {
    const document = focused();
    const { client } = this.server;
    this.document = undefined;
    if (document && client) {
      const textDocument = { uri: client.code2ProtocolConverter.asUri(document.uri) };
      try {
        await client.sendNotification('textDocument/didFocus', { textDocument });
        const status = await client.sendRequest<Status>('infill/status', { textDocument });
        if (document === focused()) {
          this.document = status.document;
        }
      } catch (error) {
        client.warn(`Asking for the status failed: ${wordsOf(error)}`);
      }
    }
    this.changed.fire();
  }

  private hear(said: StatusChange): void {
    this.said = said;
    const document = focused();
    if (document && sameDocument(said.infill.uri, document)) {
      const { why } = said.infill;
      this.document = { active: why === null, language: document.languageId, why };
    }
    this.changed.fire();
  }

  dispose(): void {
    this.listening.dispose();
  }
}

/** The document in focus, if it is code. */
export function focused(): TextDocument | undefined {
  const document = window.activeTextEditor?.document;
  return document && isCode(document) ? document : undefined;
}
