// What the item in the status bar says, from what is known of the server and of the document in focus.

import type { DocumentStatus, StatusChange } from './protocol';
import type { Phase } from './server';

/** All that the status is made of. */
export interface View {
  phase: Phase;
  isEnabled: boolean;
  /** What the server said last, if it runs. */
  said: StatusChange | undefined;
  /** The document in focus, if it is one that the server is told of. */
  document: DocumentStatus | undefined;
  /** The user turned that file off. */
  isFileOff: boolean;
}

/** A state as it is shown. */
export interface Look {
  icon: string;
  /** What stands beside the name, if anything. */
  more: string;
  /** The state in words. */
  words: string;
  severity: 'plain' | 'warning' | 'error';
}

export function look(view: View): Look {
  const { phase, said, document } = view;
  if (!view.isEnabled) {
    return off('Infill is off');
  }
  switch (phase.at) {
    case 'stopped':
      return off('The server is stopped');
    case 'starting':
      return plain('loading~spin', 'The server is starting');
    case 'pausing':
      return warning(`The server crashed and is started again in ${phase.seconds} s`);
    case 'failed':
      return error(phase.why);
  }
  if (!said) {
    return plain('loading~spin', 'The server is starting');
  }
  if (said.infill.state === 'failed' || said.kind === 'Error') {
    return error(said.message);
  }
  if (said.infill.state === 'loading') {
    const { percent } = said.infill;
    return { ...plain('loading~spin', said.message), more: percent === null ? '' : ` ${Math.round(percent)}%` };
  }
  if (view.isFileOff) {
    return off('Off for this file');
  }
  if (document && !document.active) {
    return off(document.why ?? said.message);
  }
  if (said.kind === 'Warning') {
    return warning(said.message);
  }
  return said.busy ? plain('loading~spin', `Thinking (${said.message})`) : plain('sparkle', said.message);
}

/** How long the last answer took, in words. */
export function lastAnswer(said: StatusChange | undefined): string | undefined {
  const ms = said?.infill.ms ?? null;
  return ms === null ? undefined : `The last answer took ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function plain(icon: string, words: string): Look {
  return { icon, more: '', words, severity: 'plain' };
}

function off(words: string): Look {
  return plain('circle-slash', words);
}

function warning(words: string): Look {
  return { icon: 'warning', more: '', words, severity: 'warning' };
}

function error(words: string): Look {
  return { icon: 'error', more: '', words, severity: 'error' };
}
