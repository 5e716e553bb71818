// Messages to the user, each with buttons for what can be done about it.

import { commands, window } from 'vscode';

const BUTTONS = {
  'Open the Log': ['infill.openLog'],
  Restart: ['infill.restart'],
  Settings: ['workbench.action.openSettings', 'infill.server'],
  'Choose a Model': ['infill.chooseModel'],
  'Show Status': ['infill.showStatus'],
} as const;

export type Button = keyof typeof BUTTONS;

/** Shows a warning; a click on a button does what it says. Nobody waits for that. */
export function warn(message: string, ...buttons: Button[]): void {
  void window.showWarningMessage(message, ...buttons).then(press);
}

/** Shows an error; a click on a button does what it says. Nobody waits for that. */
export function complain(message: string, ...buttons: Button[]): void {
  void window.showErrorMessage(message, ...buttons).then(press);
}

async function press(button: Button | undefined): Promise<void> {
  if (button) {
    const [command, ...args] = BUTTONS[button];
    await commands.executeCommand(command, ...args);
  }
}

/** What an error says, in one line. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
