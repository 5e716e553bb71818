// One conversation with one server: what documents it is told of, and what it is never let say.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type LogOutputChannel, languages, type TextDocument, Uri, workspace } from 'vscode';
import { CloseAction, ErrorAction, RevealOutputChannelOn } from 'vscode-languageclient';
import { LanguageClient, type LanguageClientOptions } from 'vscode-languageclient/node';
import { fit } from './fit';
import { forServer } from './settings';

/** Where code is: files here and on other machines, new files, cells of notebooks. Not logs, diffs or settings. */
const SCHEMES = ['file', 'untitled', 'vscode-notebook-cell', 'vscode-remote', 'vscode-vfs', 'vscode-test-web', 'memfs'];

const SELECTOR = SCHEMES.map((scheme) => ({ scheme }));

/** Is the server told of this document? */
export function isCode(document: TextDocument): boolean {
  return languages.match(SELECTOR, document) > 0;
}

/** What decides, before the server is asked, that a document gets no suggestions. */
export interface Silence {
  holdsFor(document: TextDocument): boolean;
}

/**
 * A client that shows nothing of its own accord: failures go to the log, and what the user has to
 * know is said once, by those who know what to do about it.
 */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  override warn(message: string, data?: unknown): void {
    super.warn(message, data, false);
  }

  override info(message: string, data?: unknown): void {
    super.info(message, data, false);
  }
}

/** A client for a server that is being started. It ends when the server does; each server gets a new one. */
export function newClient(start: () => Promise<ChildProcess>, log: LogOutputChannel, silence: Silence): LanguageClient {
  const options: LanguageClientOptions = {
    documentSelector: SELECTOR,
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    stdioOptions: { stdout: () => {}, stderr: relay },
    initializationOptions: () => ({
      infill: { ...forServer(), status: true, trusted: workspace.isTrusted },
    }),
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
    },
    middleware: {
      provideInlineCompletionItems: async (document, position, context, token, next) => {
        if (silence.holdsFor(document)) {
          return [];
        }
        try {
          return fit(await next(document, position, context, token), document, position);
        } catch {
          // It is in the log. The next key asks again.
          return [];
        }
      },
    },
  };
  return new QuietClient('infill', 'Infill', start, options);
}

/** The server's own log, line by line, at the level that each line names. */
function relay(stderr: Readable, log: LogOutputChannel): void {
  createInterface({ input: stderr, crlfDelay: Infinity }).on('line', (line) => {
    const [, level, said] = /^\S+\s+(ERROR|WARN|INFO|DEBUG|TRACE)\s+(.*)$/.exec(line) ?? [];
    if (level === 'ERROR') {
      log.error(said ?? line);
    } else if (level === 'WARN') {
      log.warn(said ?? line);
    } else {
      // How much is said, `infill.server.log` decides alone: what comes is shown.
      log.info(line);
    }
  });
}

/** The document of a URI as the server writes it. */
export function sameDocument(uri: string | null | undefined, document: TextDocument | undefined): boolean {
  return !!uri && document !== undefined && Uri.parse(uri).toString() === document.uri.toString();
}
