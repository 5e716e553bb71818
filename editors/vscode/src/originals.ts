// Documents as they were before a change, for the left side of a comparison.

import { type ExtensionContext, type TextDocument, Uri, workspace } from 'vscode';

const SCHEME = 'infill-original';

export class Originals {
  private readonly texts = new Map<string, string>();
  private count = 0;

  constructor(context: ExtensionContext) {
    context.subscriptions.push(
      workspace.registerTextDocumentContentProvider(SCHEME, {
        provideTextDocumentContent: (uri) => this.texts.get(uri.query),
      }),
      workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === SCHEME) {
          this.texts.delete(uri.query);
        }
      }),
    );
  }

  /** Keeps the text of a document as it is now, until nobody looks at it any more. */
  keep(document: TextDocument): Uri {
    this.count += 1;
    const key = String(this.count);
    this.texts.set(key, document.getText());
    return Uri.from({ scheme: SCHEME, path: document.uri.path, query: key });
  }
}
